// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Parses the volume's options that concern recalls and reads. The store's options are parsed by its plugin.

#![forbid(unsafe_code)]

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use cloudsync_format::option;
use cloudsync_format::settings::{Error, Settings, parse_bytes};

use crate::allowance::Allowed;
use crate::budget::Limits;
use crate::callers::{self, Rules};

/// The option that names the store.
pub const STORETYPE: &str = option::text(option::STORETYPE);
/// The option with the settings of recalls and reads.
pub const PRODUCT_ID: &str = option::text(option::PRODUCT_ID);

/// The memory for bytes of objects if the settings do not say: a part of the machine's, within these bounds.
static MEMORY: LazyLock<u64> = LazyLock::new(|| {
    let total = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    memory_of(&total)
});

/// Of the text of /proc/meminfo (proc(5)), which counts in KiB.
fn memory_of(meminfo: &str) -> u64 {
    let total = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let total = total.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    (total.unwrap_or(0) * 1024 / 32).clamp(64 << 20, 256 << 20)
}

/// Settings of recalls and reads, from [`PRODUCT_ID`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The maximum number of files recalled at once, in this process.
    pub recalls: usize,
    /// Bytes in flight to the bricks, for each recall.
    pub window: u64,
    /// The maximum number of parts of a large file fetched at once.
    pub ranges: usize,
    /// Bytes of objects kept in memory, in this process.
    pub memory: u64,
    /// The maximum number of connections to the store, in this process.
    pub connections: usize,
    /// Bytes per second from the store, in this process; 0: unlimited.
    pub rate: u64,
    /// How much reads may recall.
    pub allowed: Allowed,
    /// Who may recall.
    pub callers: Rules,
    /// Whether pins are respected that say that reads leave a file cold.
    pub pins: bool,
    /// How many bytes may be fetched from the store.
    pub budget: Limits,
    /// Whether readers wait until the file is recalled and its checksum verified.
    pub checked: bool,
    /// Whether reads of local files are trusted by their label: see [`crate::labels`].
    pub trust: bool,
    /// Whether a recall is cancelled when no operation waits for it any more.
    pub give_up: bool,
    /// Space that recalls leave free on the bricks, in addition to the bricks' reserve.
    pub keep_free: KeepFree,
    /// Whether files are recalled even if the bricks' reserve, [`Self::keep_free`] or a quota would be exceeded.
    pub over_limits: bool,
    /// Which errnos applications get.
    pub errnos: Errnos,
    /// Whether recalls and archived files are listed in the log.
    pub history: bool,
    /// Whether reads leave a cold file cold. Set by an option of its own.
    pub remote_read: bool,
}

/// Which errnos applications get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errnos {
    /// [`Self::Nfs`] in an NFS server, [`Self::Posix`] elsewhere.
    Auto,
    /// One for each cause.
    Posix,
    /// Only those that an NFS server can pass on: [`crate::errno::Errno::for_nfs`].
    Nfs,
}

/// Space to keep free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepFree {
    /// An absolute number of bytes.
    Bytes(u64),
    /// A percentage of a brick's capacity.
    Percent(u64),
}

impl KeepFree {
    /// Parses `5%` or `10G`.
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => {
                let percent = percent.parse().ok().filter(|percent| *percent <= 99)?;
                Some(Self::Percent(percent))
            }
            None => parse_bytes(text).map(Self::Bytes),
        }
    }

    /// Returns the space in bytes, for a brick of `total` bytes.
    #[must_use]
    pub const fn of(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => total / 100 * percent,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            recalls: 256,
            window: 8 << 20,
            ranges: 64,
            memory: *MEMORY,
            connections: 256,
            rate: 0,
            allowed: Allowed {
                files: 0,
                bytes: 0,
                window: Duration::from_secs(60),
            },
            callers: Rules::default(),
            pins: false,
            budget: Limits {
                bytes: 0,
                window: Duration::from_secs(24 * 60 * 60),
                serve: false,
            },
            checked: false,
            trust: true,
            give_up: false,
            keep_free: KeepFree::Bytes(0),
            over_limits: false,
            errnos: Errnos::Auto,
            history: true,
            remote_read: false,
        }
    }
}

impl Config {
    /// Parses the value of [`PRODUCT_ID`]. An empty value gives the defaults.
    ///
    /// # Errors
    /// Names the key and the expected values.
    pub fn parse(product_id: &str) -> Result<Self, Error> {
        let mut list = Settings::parse(product_id)?;
        let mut config = Self::default();
        let ceilings = [
            (
                "recalls",
                256,
                "a number from 1 to 256, or auto",
                &mut config.recalls,
            ),
            (
                "ranges",
                64,
                "a number from 1 to 64, or auto",
                &mut config.ranges,
            ),
            (
                "connections",
                1024,
                "a number from 1 to 1024, or auto",
                &mut config.connections,
            ),
        ];
        for (key, most, expected, ceiling) in ceilings {
            if !list.auto(key)
                && let Some(number) = list.number(key, 1, most, expected)?
            {
                *ceiling = usize::try_from(number).unwrap_or(usize::MAX);
            }
        }
        if let Some(files) = list.number("guard-files", 0, u64::MAX, "a number of files")? {
            config.allowed.files = files;
        }
        if let Some(window) = list.duration("guard-window")? {
            config.allowed.window = window.max(Duration::from_secs(1));
        }
        if let Some(bytes) = list.bytes("guard-bytes")? {
            config.allowed.bytes = bytes;
        }
        if let Some(text) = list.text("callers") {
            config.callers = Rules::parse(&text).ok_or_else(|| Error::Value {
                key: String::from("callers"),
                value: text,
                expected: callers::EXPECTED,
            })?;
        }
        if let Some(pins) = list.choice("pins", &["on", "off"], "on or off")? {
            config.pins = pins == "on";
        }
        if let Some(bytes) = list.bytes("budget-bytes")? {
            config.budget.bytes = bytes;
        }
        if let Some(window) = list.duration("budget-window")? {
            config.budget.window = window.max(Duration::from_secs(1));
        }
        let choices = &["refuse", "serve"];
        if let Some(choice) = list.choice("over-budget", choices, "refuse or serve")? {
            config.budget.serve = choice == "serve";
        }
        if let Some(rate) = list.bytes("rate")? {
            config.rate = rate;
        }
        let bytes = |list: &mut Settings, key: &'static str, least: u64, most: u64, expected| {
            let value = list.bytes(key)?;
            match value {
                Some(value) if !(least..=most).contains(&value) => Err(Error::Value {
                    key: key.to_owned(),
                    value: value.to_string(),
                    expected,
                }),
                value => Ok(value),
            }
        };
        if let Some(window) = bytes(&mut list, "window", 128 << 10, 1 << 30, "128K to 1G")? {
            config.window = window;
        }
        if !list.auto("memory")
            && let Some(memory) =
                bytes(&mut list, "memory", 1 << 20, 64 << 30, "1M to 64G, or auto")?
        {
            config.memory = memory;
        }
        if let Some(text) = list.text("keep-free") {
            config.keep_free = KeepFree::parse(&text).ok_or_else(|| Error::Value {
                key: String::from("keep-free"),
                value: text,
                expected: "0% to 99%, or a size such as 10G",
            })?;
        }
        if let Some(choice) = list.choice("over-limits", &["serve", "recall"], "serve or recall")? {
            config.over_limits = choice == "recall";
        }
        if let Some(choice) =
            list.choice("errnos", &["auto", "posix", "nfs"], "auto, posix or nfs")?
        {
            config.errnos = match choice {
                "posix" => Errnos::Posix,
                "nfs" => Errnos::Nfs,
                _ => Errnos::Auto,
            };
        }
        if let Some(choice) = list.choice("history", &["on", "off"], "on or off")? {
            config.history = choice == "on";
        }
        if let Some(choice) = list.choice("reads", &["early", "checked"], "early or checked")? {
            config.checked = choice == "checked";
        }
        if let Some(choice) = list.choice("local-reads", &["trust", "ask"], "trust or ask")? {
            config.trust = choice == "trust";
        }
        if let Some(choice) =
            list.choice("abandoned", &["continue", "cancel"], "continue or cancel")?
        {
            config.give_up = choice == "cancel";
        }
        list.finish()?;
        Ok(config)
    }
}

/// Whether the value of a boolean option of the host means on (`gf_string2boolean`).
#[must_use]
pub fn is_on(value: &str) -> bool {
    ["1", "on", "yes", "true", "enable"]
        .iter()
        .any(|on| value.eq_ignore_ascii_case(on))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_bad_ones_named() {
        assert_eq!(Config::parse("").unwrap(), Config::default());
        let config = Config::parse(
            "recalls=4,window=1M,ranges=2,memory=32M,connections=8,rate=10M,guard-files=100,guard-bytes=1G,\
             guard-window=5s,callers=refuse:uid:5,pins=on,budget-bytes=2G,budget-window=1h,over-budget=serve,abandoned=cancel,reads=checked,local-reads=ask,keep-free=5%,\
             over-limits=recall,errnos=nfs,history=off",
        )
        .unwrap();
        assert_eq!(
            config,
            Config {
                recalls: 4,
                window: 1 << 20,
                ranges: 2,
                memory: 32 << 20,
                connections: 8,
                rate: 10 << 20,
                allowed: Allowed {
                    files: 100,
                    bytes: 1 << 30,
                    window: Duration::from_secs(5),
                },
                callers: Rules::parse("refuse:uid:5").unwrap(),
                pins: true,
                budget: Limits {
                    bytes: 2 << 30,
                    window: Duration::from_secs(3600),
                    serve: true,
                },
                checked: true,
                trust: false,
                keep_free: KeepFree::Percent(5),
                over_limits: true,
                give_up: true,
                errnos: Errnos::Nfs,
                history: false,
                remote_read: false,
            }
        );
        let auto = Config::parse("recalls=auto,ranges=auto,connections=auto,memory=auto").unwrap();
        assert_eq!(auto, Config::default());
        let bad = [
            "recalls=0",
            "recalls=x",
            "window=1",
            "memory=1",
            "connections=0",
            "guard-window=x",
            "callers=nobody",
            "pins=maybe",
            "budget-bytes=lots",
            "over-budget=maybe",
            "abandoned=maybe",
            "local-reads=maybe",
            "errnos=linux",
            "history=maybe",
            "speed=9",
        ];
        for bad in bad {
            let message = Config::parse(bad).unwrap_err().to_string();
            assert!(
                message.contains(bad.split('=').next().unwrap()),
                "{message}"
            );
        }
    }

    #[test]
    fn memory_follows_the_machine() {
        let of = |kib: u64| memory_of(&format!("MemTotal:       {kib} kB\nMemFree:  1 kB\n")) >> 20;
        assert_eq!([1 << 20, 4 << 20, 64 << 20].map(of), [64, 128, 256]);
        assert_eq!(memory_of("") >> 20, 64);
    }
}
