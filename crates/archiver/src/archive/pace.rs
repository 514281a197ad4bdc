// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Limits a rate: each caller waits until all amounts before its own are covered.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How much unused time may be saved up for a burst.
const BURST: Duration = Duration::from_millis(500);

/// A rate limit.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    /// When everything paid so far is covered.
    covered: Mutex<Instant>,
}

impl Pace {
    /// `per_second` must be positive.
    pub(super) fn new(per_second: f64) -> Self {
        Self {
            per_second,
            covered: Mutex::new(Instant::now()),
        }
    }

    /// Waits for the caller's turn. Of several callers, the last waits longest.
    pub(super) fn pay(&self, amount: f64) {
        let wait = self.book(amount, Instant::now());
        thread::sleep(wait);
    }

    /// Reserves the amount, and returns how long to wait for it.
    fn book(&self, amount: f64, now: Instant) -> Duration {
        let mut covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let begin = (*covered).max(earliest);
        let cost = Duration::try_from_secs_f64(amount / self.per_second);
        *covered = begin + cost.unwrap_or(Duration::from_secs(3600));
        begin.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_over_time() {
        let pace = Pace::new(10.0);
        let now = Instant::now();
        let waits: Vec<_> = (0..25).map(|_| pace.book(1.0, now)).collect();
        assert_eq!(waits[0], Duration::ZERO);
        let last = waits[24].as_secs_f64();
        assert!((1.8..=2.5).contains(&last), "{last}");
        // After a pause there is a burst, but no more than `BURST` allows.
        let later = now + Duration::from_secs(100);
        let free = (0..25).filter(|_| pace.book(1.0, later).is_zero()).count();
        assert!((1..=7).contains(&free), "{free}");
    }
}
