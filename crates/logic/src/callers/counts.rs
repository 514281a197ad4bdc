// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! How many cold files each process has read lately: one that reads many is a scanner.

#![forbid(unsafe_code)]

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::gfid::Gfid;
use crate::sync::{Mutex, PoisonError};

/// "Lately" is since a process has last read no cold file for so long.
const PAUSE: Duration = Duration::from_secs(60);

/// When this many processes are counted, those that have paused are forgotten, and then, if need be, all others.
const PROCESSES: usize = 4096;

/// How many of a process's latest files are remembered.
const OPEN: usize = 16;

/// The counts of an instance.
#[derive(Debug, Default)]
pub struct Counts(Mutex<HashMap<i32, Count>>);

#[derive(Debug)]
struct Count {
    files: u64,
    /// The files it read last, several of whose reads count once: a program may read some at a time.
    last: VecDeque<Gfid>,
    when: Instant,
}

impl Counts {
    /// Process `pid` reads a cold file now. Returns how many it has read lately, with this one, and whether this one is
    /// new.
    #[must_use]
    pub fn reads(&self, pid: i32, gfid: Gfid, now: Instant) -> (u64, bool) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_paused = |count: &Count| now.saturating_duration_since(count.when) >= PAUSE;
        if counts.len() >= PROCESSES && !counts.contains_key(&pid) {
            counts.retain(|_, count| !has_paused(count));
            if counts.len() >= PROCESSES {
                counts.clear();
            }
        }
        let count = counts.entry(pid).or_insert(Count {
            files: 0,
            last: VecDeque::new(),
            when: now,
        });
        if has_paused(count) {
            count.files = 0;
            count.last.clear();
        }
        let is_new = !count.last.contains(&gfid);
        if is_new {
            count.files += 1;
            if count.last.len() >= OPEN {
                count.last.pop_front();
            }
            count.last.push_back(gfid);
        }
        count.when = now;
        (count.files, is_new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_by_process_until_it_pauses() {
        let (counts, start) = (Counts::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let (a, b) = (Gfid([1; 16]), Gfid([2; 16]));
        assert_eq!(counts.reads(5, a, start), (1, true));
        assert_eq!(counts.reads(5, a, at(1)), (1, false));
        assert_eq!(counts.reads(5, b, at(50)), (2, true));
        assert_eq!(counts.reads(6, b, at(50)), (1, true));
        let by_turns = counts.reads(5, a, at(100));
        assert_eq!(by_turns, (2, false), "it reads both by turns");
        assert_eq!(counts.reads(5, a, at(160)), (1, true));
    }

    #[test]
    fn many_processes_take_no_more_memory() {
        let (counts, start) = (Counts::default(), Instant::now());
        for pid in 0..10_000 {
            let _read = counts.reads(pid, Gfid([1; 16]), start);
        }
        let counts = counts.0.lock().unwrap();
        assert!(counts.len() <= PROCESSES, "{}", counts.len());
    }
}
