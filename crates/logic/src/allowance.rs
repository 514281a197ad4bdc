// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The guard against mass recalls: limits how many files and bytes reads may recall in a time window. Beyond the limit,
//! reads (for example those of an indexer or virus scanner) are served from the store, and the files stay cold.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cloudsync_format::option;

use crate::budget::Budget;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use cloudsync_format::message;

/// The limits; 0: unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Files in the window.
    pub files: u64,
    /// Bytes in the window.
    pub bytes: u64,
    /// The length of the window.
    pub window: Duration,
}

/// The guard of one instance: the limits, and what has been used of them.
#[derive(Debug)]
pub struct Allowance {
    allowed: Mutex<Allowed>,
    used: Mutex<Used>,
    /// How many bytes may be fetched, by reads and otherwise.
    pub budget: Arc<Budget>,
}

/// What has been used in the current window.
#[derive(Debug, Default)]
struct Used {
    used: VecDeque<(Instant, u64)>,
    bytes: u64,
    /// When the exhaustion was last reported.
    reported: Option<Instant>,
}

/// Whether a file may be recalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It may.
    Yes,
    /// It may not.
    No,
    /// It may not, and it is the first one refused in the window: to be logged.
    NoMore,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Allowance {
    /// Creates a guard with these limits.
    #[must_use]
    pub fn new(allowed: Allowed, budget: Arc<Budget>) -> Self {
        Self {
            allowed: Mutex::new(allowed),
            used: Mutex::default(),
            budget,
        }
    }

    /// Changes the limits.
    pub fn set(&self, allowed: Allowed) {
        *lock(&self.allowed) = allowed;
    }

    /// Whether reads may recall one more file of `size` bytes, or have its object restored. A call that returns true is
    /// charged.
    pub fn allows(&self, size: u64) -> bool {
        let allowed = *lock(&self.allowed);
        let answer = lock(&self.used).ask(&allowed, size, Instant::now());
        if answer == Answer::NoMore {
            log::warn!(
                id = message::GUARD;
                "reads recalled as much as guard-files and guard-bytes of {} allow in {:?}: more files are served \
                 from the store and stay cold",
                option::text(option::PRODUCT_ID),
                allowed.window
            );
        }
        answer == Answer::Yes
    }
}

impl Used {
    /// Asks whether a read may recall a file of `size` bytes. On [`Answer::Yes`], the file is counted.
    fn ask(&mut self, allowed: &Allowed, size: u64, now: Instant) -> Answer {
        if allowed.files == 0 && allowed.bytes == 0 {
            *self = Self::default();
            return Answer::Yes;
        }
        while let Some((when, bytes)) = self.used.front().copied()
            && now.saturating_duration_since(when) >= allowed.window
        {
            self.used.pop_front();
            self.bytes -= bytes;
        }
        let files = allowed.files == 0 || (self.used.len() as u64) < allowed.files;
        let bytes = allowed.bytes == 0 || self.bytes.saturating_add(size) <= allowed.bytes;
        if files && bytes {
            self.used.push_back((now, size));
            self.bytes += size;
            return Answer::Yes;
        }
        let recent = |when: Instant| now.saturating_duration_since(when) < allowed.window;
        if self.reported.is_some_and(recent) {
            return Answer::No;
        }
        self.reported = Some(now);
        Answer::NoMore
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    #[test]
    fn without_a_limit_everything_comes_back() {
        let allowed = Allowed {
            files: 0,
            bytes: 0,
            window: WINDOW,
        };
        let mut allowance = Used::default();
        let now = Instant::now();
        for _ in 0..1000 {
            assert_eq!(allowance.ask(&allowed, u64::MAX, now), Answer::Yes);
        }
    }

    #[test]
    fn files_are_counted_in_a_window_that_rolls() {
        let allowed = Allowed {
            files: 2,
            bytes: 0,
            window: WINDOW,
        };
        let mut allowance = Used::default();
        let now = Instant::now();
        assert_eq!(allowance.ask(&allowed, 1, now), Answer::Yes);
        let half = now + WINDOW / 2;
        assert_eq!(allowance.ask(&allowed, 1, half), Answer::Yes);
        assert_eq!(allowance.ask(&allowed, 1, half), Answer::NoMore);
        assert_eq!(allowance.ask(&allowed, 1, half), Answer::No);
        // The first one is forgotten, the second one is not.
        assert_eq!(allowance.ask(&allowed, 1, now + WINDOW), Answer::Yes);
        assert_eq!(allowance.ask(&allowed, 1, now + WINDOW), Answer::No);
        assert_eq!(
            allowance.ask(&allowed, 1, now + WINDOW * 5 / 4),
            Answer::No,
            "it was said already"
        );
    }

    #[test]
    fn bytes_are_counted_and_what_is_too_large_does_not_use_them_up() {
        let allowed = Allowed {
            files: 0,
            bytes: 100,
            window: WINDOW,
        };
        let mut allowance = Used::default();
        let now = Instant::now();
        assert_eq!(allowance.ask(&allowed, 101, now), Answer::NoMore);
        assert_eq!(allowance.ask(&allowed, 60, now), Answer::Yes);
        assert_eq!(allowance.ask(&allowed, 60, now), Answer::No);
        assert_eq!(allowance.ask(&allowed, 40, now), Answer::Yes);
    }
}
