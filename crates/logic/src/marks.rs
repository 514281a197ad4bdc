// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Formats and parses the values of marks that the translator writes.
//!
//! `trusted.glusterfs.cs.downloading` is `1-RANDOM-NUMBER,gfid=UUID,ctime=SECONDS.NANOS`. It is unique to the job, and
//! contains the gfid of the file it was set on and the file's ctime at that time. Where the volume keeps its own times,
//! the ctime is changed by every operation except ours.

#![forbid(unsafe_code)]

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use cloudsync_format::claim::Time;
use cloudsync_format::record::Kept;

use crate::gfid::Gfid;

/// A mark of a recall or a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    job: String,
    /// The file that it was set on.
    pub gfid: String,
    /// The file's ctime at that time.
    pub ctime: Time,
}

impl Mark {
    /// Creates a unique mark.
    #[must_use]
    pub fn new(gfid: Gfid, ctime: Time) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // The hasher's keys are random.
        let random = RandomState::new().hash_one(number);
        Self {
            job: format!("1-{random:016x}-{number}"),
            gfid: gfid.to_string(),
            ctime,
        }
    }

    /// Parses a value; `None` if it was written by the stock translator or by an earlier version of ours.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let (job, rest) = text.split_once(",gfid=")?;
        let (gfid, ctime) = rest.split_once(",ctime=")?;
        Some(Self {
            job: job.to_owned(),
            gfid: gfid.to_owned(),
            ctime: Time::parse(ctime)?,
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, gfid, ctime } = self;
        write!(f, "{job},gfid={gfid},ctime={ctime}")
    }
}

/// Returns the value of `trusted.cloudsync.kept` with one more object. The oldest ones are dropped if there are too
/// many.
#[must_use]
pub fn add_kept(before: &str, kept: &Kept) -> String {
    /// The maximum number of objects: an attribute can hold 64 KiB, on some file systems 4 KiB.
    const MOST: usize = 8;
    let mut lines: Vec<_> = Kept::parse(before)
        // The same object again: a client died during this operation.
        .filter(|other| other.key != kept.key)
        .chain([kept.clone()])
        .map(|kept| kept.to_string())
        .collect();
    let older = lines.len().saturating_sub(MOST);
    lines.drain(..older);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_others_are_none_of_ours() {
        let ctime = Time {
            seconds: 12,
            nanos: 5,
        };
        let mark = Mark::new(Gfid([1; 16]), ctime);
        assert_eq!(Mark::parse(mark.to_string().as_bytes()), Some(mark.clone()));
        assert_ne!(Mark::new(Gfid([1; 16]), ctime), mark);
        for other in ["1", "", "1-0123456789abcdef-0", "1,gfid=x,ctime=y"] {
            assert_eq!(Mark::parse(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn kept_objects_are_added_once_and_the_oldest_go() {
        let of = |number: usize| Kept {
            seconds: 1,
            size: 2,
            store: None,
            key: format!("key {number}"),
        };
        let twice = add_kept(&add_kept("", &of(0)), &of(0));
        assert_eq!(twice, of(0).to_string());
        let all = (0..20).fold(String::new(), |value, number| add_kept(&value, &of(number)));
        let keys: Vec<_> = Kept::parse(&all).map(|kept| kept.key).collect();
        assert_eq!(keys.len(), 8);
        assert_eq!(keys.last().unwrap(), "key 19");
    }
}
