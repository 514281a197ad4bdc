// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The command line: how long, and which random numbers.

use std::time::{Duration, SystemTime};

use crate::Answer;
use crate::events::KINDS;

const USAGE: &str = "\
usage: scripts/soak.sh [--minutes N] [--seed N] [--event NAME]... [--without-samba]
  --minutes  how long clients, archiver and faults work together (default 30); some minutes of comparisons follow
  --seed     the random numbers of another run
  --event    only events of this kind, to look for a fault: 'brick killed', 'client killed'...
  --without-samba  without the share and its client";

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How long clients, archiver and faults work together.
    pub(crate) length: Duration,
    pub(crate) seed: u64,
    /// The kinds of events.
    pub(crate) kinds: Vec<&'static str>,
    /// Whether one of the applications uses a share of Samba's, if this machine has it.
    pub(crate) samba: bool,
}

impl Settings {
    /// Parses the program's arguments.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Answer<Self> {
        let now = SystemTime::UNIX_EPOCH.elapsed()?.as_nanos();
        let (mut minutes, mut seed) = (30.0, now as u64 % 1_000_000);
        let (mut kinds, mut samba) = (Vec::new(), true);
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(USAGE);
            match word.as_str() {
                "--minutes" => minutes = value()?.parse()?,
                "--seed" => seed = value()?.parse()?,
                "--event" => {
                    let name = value()?;
                    let kind = KINDS.iter().find(|kind| **kind == name);
                    kinds.push(*kind.ok_or_else(|| format!("no event '{name}': {KINDS:?}"))?);
                }
                "--without-samba" => samba = false,
                // cargo passes such words to every test program.
                "--nocapture" => {}
                _ => return Err(USAGE.into()),
            }
        }
        if !(0.5..=6000.0).contains(&minutes) {
            return Err(USAGE.into());
        }
        Ok(Self {
            length: Duration::from_secs_f64(minutes * 60.0),
            seed,
            samba,
            kinds: if kinds.is_empty() {
                KINDS.to_vec()
            } else {
                kinds
            },
        })
    }

    /// A short run, as CI makes it.
    pub(crate) fn is_short(&self) -> bool {
        self.length < Duration::from_secs(8 * 60)
    }

    /// How many files there are.
    pub(crate) fn files(&self) -> usize {
        if self.is_short() { 60 } else { 120 }
    }
}
