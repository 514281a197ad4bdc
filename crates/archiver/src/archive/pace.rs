// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! So many per second: each payer waits until what was paid before it is covered.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What may be saved up while nobody pays.
const BURST: Duration = Duration::from_millis(500);

/// A rate.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    /// When everything paid so far is covered.
    covered: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(per_second: f64) -> Self {
        Self {
            per_second,
            covered: Mutex::new(Instant::now()),
        }
    }

    /// Waits for its turn. The last of several waits longest.
    pub(super) fn pay(&self, amount: f64) {
        let wait = self.book(amount, Instant::now());
        thread::sleep(wait);
    }

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
        // After a pause a burst, but no more than that.
        let later = now + Duration::from_secs(100);
        let free = (0..25).filter(|_| pace.book(1.0, later).is_zero()).count();
        assert!((1..=7).contains(&free), "{free}");
    }
}
