// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Writes the history: lines of the log that say what was recalled and archived, for whom ([`cloudsync_format::history`]).
//! How many lines is decided by [`cloudsync_logic::history`].

#![forbid(unsafe_code)]

use std::fs;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloudsync_format::caller;
use cloudsync_format::history::{By, Event, File, Unlisted};
use cloudsync_format::jobs::Waiter;
use cloudsync_format::message;
use cloudsync_logic::errno::Failure;
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::history::{Kind, Listing};

use crate::host::inode::Inode;

static CLIENT: LazyLock<String> = LazyLock::new(|| {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim_end().to_owned()
});

/// This machine's name.
pub fn client() -> &'static str {
    &CLIENT
}

/// The history of one volume.
#[derive(Debug)]
pub struct History {
    on: AtomicBool,
    done: Listing,
    /// Fewer: when a store is down every read fails, and has another line of its own.
    failed: Listing,
}

impl Default for History {
    fn default() -> Self {
        Self {
            on: AtomicBool::new(false),
            done: Listing::new(1000, Duration::from_millis(10)),
            failed: Listing::new(100, Duration::from_millis(100)),
        }
    }
}

/// A file to which something happened.
#[derive(Debug)]
pub struct About<'a> {
    /// The file.
    pub inode: &'a Inode,
    /// The file's.
    pub gfid: Gfid,
    /// See [`File::bytes`].
    pub bytes: u64,
    /// When it began.
    pub since: Instant,
    /// The store's name.
    pub store: String,
    /// What caused it: see [`Waiter::what`].
    pub why: &'a str,
    /// Who caused it.
    pub by: Option<By>,
}

/// Who `waiter` is. Reads the name of its process, so it must still wait.
#[must_use]
pub fn who(waiter: &Waiter) -> By {
    let process = caller::process(waiter.pid);
    By {
        // The kernel reads ahead as root.
        uid: match &process {
            Some(process) if waiter.uid == 0 => process.uid,
            _ => waiter.uid,
        },
        pid: process.as_ref().map_or(waiter.pid, |process| process.pid),
        command: process.map(|process| process.command),
    }
}

impl About<'_> {
    /// The file as a line has it.
    #[must_use]
    pub fn file(self) -> File {
        File {
            path: self.inode.path(),
            gfid: self.gfid.to_string(),
            bytes: self.bytes,
            key: None,
            // In milliseconds: more would be noise.
            seconds: (self.since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            store: self.store,
            why: self.why.to_owned(),
            by: self.by,
            client: CLIENT.clone(),
            cause: None,
            error: None,
        }
    }
}

impl History {
    /// Switches it on or off.
    pub fn set(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed) && log::log_enabled!(log::Level::Info)
    }

    /// Whether a recall that ended now would be listed.
    pub fn lists_recalls(&self) -> bool {
        self.is_on() && self.done.has_lines(Instant::now())
    }

    /// Counts an event, and returns what `make` makes of it if it is to be listed.
    pub fn event<T>(&self, kind: Kind, make: impl FnOnce() -> T) -> Option<T> {
        if !self.is_on() {
            return None;
        }
        let listing = match kind {
            Kind::Recalled(_) | Kind::Archived(_) | Kind::Served => &self.done,
            Kind::Failed => &self.failed,
        };
        let lines = listing.next(kind, Instant::now());
        if let Some(counts) = lines.counts {
            write_counts(counts);
        }
        lines.event.then(make)
    }

    /// Lists a failure. `cause`: see [`File::cause`].
    pub fn failed(&self, failure: &Failure, cause: Option<&str>, file: impl FnOnce() -> File) {
        if let Some(file) = self.event(Kind::Failed, file) {
            write(&Event::Failed(File {
                cause: cause.map(str::to_owned),
                error: Some(failure.to_string()),
                ..file
            }));
        }
    }

    /// Lists a file that was read from the store. `cause`: see [`File::cause`].
    pub fn served(&self, cause: &str, file: impl FnOnce() -> File) {
        if let Some(file) = self.event(Kind::Served, file) {
            write(&Event::Served(File {
                cause: Some(cause.to_owned()),
                ..file
            }));
        }
    }

    /// Writes the counts of what was not listed.
    pub fn end(&self) {
        for counts in [&self.done, &self.failed]
            .into_iter()
            .flat_map(Listing::rest)
        {
            write_counts(counts);
        }
    }
}

fn write_counts(counts: Unlisted) {
    write(&Event::Unlisted(Unlisted {
        client: CLIENT.clone(),
        ..counts
    }));
}

/// Writes a line.
pub fn write(event: &Event) {
    let id = match event {
        Event::Recalled(_) => message::RECALLED,
        Event::Failed(_) => message::RECALL_FAILED,
        Event::Archived(_) => message::ARCHIVED,
        Event::Served(_) => message::SERVED,
        Event::Unlisted(_) => message::UNLISTED,
    };
    log::info!(id = id; "{}", event.line());
}
