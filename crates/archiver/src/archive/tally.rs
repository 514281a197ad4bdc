// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Counts the outcomes of a run.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::outcome::Why;
use crate::crawl::select::LeftOut;
use crate::outage::ending;
use crate::report::{Progress, human};

/// Counters of a run, shared by its threads.
#[derive(Debug, Default)]
pub(super) struct Tally {
    seen: AtomicU64,
    cold: AtomicU64,
    fresh: AtomicU64,
    used: AtomicU64,
    recalled: AtomicU64,
    pinned: AtomicU64,
    not_selected: AtomicU64,
    changed: AtomicU64,
    in_use: AtomicU64,
    other: AtomicU64,
    archived: AtomicU64,
    uploaded: AtomicU64,
    bytes: AtomicU64,
    uploaded_bytes: AtomicU64,
    failed: AtomicU64,
    unreadable: AtomicU64,
}

fn one_more(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Tally {
    pub(super) fn seen(&self) {
        one_more(&self.seen);
    }

    pub(super) fn cold(&self) {
        one_more(&self.cold);
    }

    pub(super) fn between(&self) {
        one_more(&self.in_use);
    }

    pub(super) fn not_selected(&self, why: LeftOut) {
        one_more(match why {
            LeftOut::Fresh => &self.fresh,
            LeftOut::Used => &self.used,
            LeftOut::Recalled => &self.recalled,
            LeftOut::Pinned => &self.pinned,
            LeftOut::Small | LeftOut::NotSelected => &self.not_selected,
        });
    }

    pub(super) fn left(&self, why: Why) {
        one_more(match why {
            Why::Cold => &self.cold,
            Why::Fresh => &self.fresh,
            Why::Used => &self.used,
            Why::Changed => &self.changed,
            Why::Open | Why::Busy => &self.in_use,
            Why::Gone | Why::Special | Why::Sharded | Why::Empty => &self.other,
        });
    }

    pub(super) fn archived(&self, bytes: u64, uploaded: bool) {
        one_more(&self.archived);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if uploaded {
            one_more(&self.uploaded);
            self.uploaded_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn failed(&self) {
        one_more(&self.failed);
    }

    pub(super) fn unreadable(&self) {
        one_more(&self.unreadable);
    }

    /// The number of failed files, and of attempted ones.
    pub(super) fn failures(&self) -> (u64, u64) {
        let failed = self.failed.load(Ordering::Relaxed);
        (failed, failed + self.archived.load(Ordering::Relaxed))
    }

    pub(super) fn any_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed) + self.unreadable.load(Ordering::Relaxed) > 0
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            seen: self.seen.load(Ordering::Relaxed),
            done: self.archived.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    pub(super) fn summary(&self, took: Duration) -> Summary {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Summary {
            event: "summary",
            dry_run: false,
            files_seen: get(&self.seen),
            archived: get(&self.archived),
            uploaded: get(&self.uploaded),
            bytes: get(&self.bytes),
            uploaded_bytes: get(&self.uploaded_bytes),
            failed: get(&self.failed) + get(&self.unreadable),
            changed: get(&self.changed),
            in_use: get(&self.in_use),
            already_cold: get(&self.cold),
            too_fresh: get(&self.fresh),
            used_lately: get(&self.used),
            recalled_lately: get(&self.recalled),
            pinned: get(&self.pinned),
            not_selected: get(&self.not_selected),
            other: get(&self.other),
            seconds: took.as_secs_f64(),
            stopped: None,
        }
    }
}

/// The result of a run. The field names are the keys of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    event: &'static str,
    pub(crate) dry_run: bool,
    pub(crate) files_seen: u64,
    pub(crate) archived: u64,
    pub(crate) uploaded: u64,
    pub(crate) bytes: u64,
    pub(crate) uploaded_bytes: u64,
    pub(crate) failed: u64,
    pub(crate) changed: u64,
    pub(crate) in_use: u64,
    pub(crate) already_cold: u64,
    pub(crate) too_fresh: u64,
    pub(crate) used_lately: u64,
    pub(crate) recalled_lately: u64,
    pub(crate) pinned: u64,
    pub(crate) not_selected: u64,
    pub(crate) other: u64,
    pub(crate) seconds: f64,
    pub(crate) stopped: Option<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.dry_run {
            "would archive"
        } else {
            "archived"
        };
        write!(f, "{verb} {} files, {}", self.archived, human(self.bytes))?;
        if !self.dry_run {
            let again = self.archived - self.uploaded;
            if again > 0 {
                write!(f, " ({again} without an upload)")?;
            }
            write!(f, " in {:.1} s", self.seconds)?;
        }
        write!(f, "; {} failed; of {} seen", self.failed, self.files_seen)?;
        for (count, what) in [
            (self.already_cold, "already cold"),
            (self.too_fresh, "too fresh"),
            (self.used_lately, "used lately"),
            (self.recalled_lately, "recalled lately"),
            (self.pinned, "pinned"),
            (self.not_selected, "not selected"),
            (self.in_use, "in use"),
            (self.changed, "changed while read"),
            (self.other, "not archivable"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        f.write_str(&ending(self.stopped.as_deref()))
    }
}
