// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Limits a rate: each caller waits until all amounts before its own are covered.

#![forbid(unsafe_code)]

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How much unused time may be saved up for a burst.
const BURST: Duration = Duration::from_millis(500);
/// A pause ends this soon after the limit was lifted.
const TICK: Duration = Duration::from_millis(50);
/// Sizes in bytes of the pieces in which a limited transfer moves.
const SMALLEST_PIECE: f64 = 1024.0;
const LARGEST_PIECE: f64 = 65536.0;

/// A limit that several transfers share, in bytes or other units per second.
#[derive(Debug)]
pub struct Rate {
    per_second: f64,
    lifted: fn() -> bool,
    /// When everything booked so far is covered.
    covered: Mutex<Instant>,
}

impl Rate {
    /// A limit of `per_second`, which must be positive. As soon as `lifted` returns true, nobody waits any more.
    #[must_use]
    pub fn new(per_second: f64, lifted: fn() -> bool) -> Self {
        Self {
            per_second,
            lifted,
            covered: Mutex::new(Instant::now()),
        }
    }

    /// Waits in this thread until `amount` may pass. Of several callers, the last waits longest.
    pub fn wait(&self, amount: f64) {
        let until = self.book(amount, Instant::now());
        while let Some(left) = self.left(until) {
            thread::sleep(left.min(TICK));
        }
    }

    /// As [`wait`](Self::wait), in a task.
    #[cfg(feature = "network")]
    pub async fn turn(&self, amount: f64) {
        let until = self.book(amount, Instant::now());
        while let Some(left) = self.left(until) {
            tokio::time::sleep(left.min(TICK)).await;
        }
    }

    /// How many bytes to move at a time, so that the rate also holds within a part: a tenth of a second's worth.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is clamped to a small positive range"
    )]
    pub fn piece(&self) -> usize {
        (self.per_second / 10.0).clamp(SMALLEST_PIECE, LARGEST_PIECE) as usize
    }

    fn left(&self, until: Instant) -> Option<Duration> {
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero() && !(self.lifted)()).then_some(left)
    }

    /// Reserves the amount, and returns when it may pass.
    fn book(&self, amount: f64, now: Instant) -> Instant {
        let mut covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let begin = (*covered).max(earliest);
        let cost = Duration::try_from_secs_f64(amount / self.per_second);
        *covered = begin + cost.unwrap_or(Duration::from_secs(3600));
        begin
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn the_rate_holds_over_time() {
        let rate = Rate::new(10.0, || false);
        let now = Instant::now();
        let waits: Vec<_> = (0..25)
            .map(|_| rate.book(1.0, now).saturating_duration_since(now))
            .collect();
        assert_eq!(waits[0], Duration::ZERO);
        let last = waits[24].as_secs_f64();
        assert!((1.8..=2.5).contains(&last), "{last}");
        // After a pause there is a burst, but no more than `BURST` allows.
        let later = now + Duration::from_secs(100);
        let free = (0..25).filter(|_| rate.book(1.0, later) <= later).count();
        assert!((1..=7).contains(&free), "{free}");
    }

    #[test]
    fn pieces_are_neither_tiny_nor_a_burst() {
        for (per_second, piece) in [(1.0, 1024), (1e5, 10_000), (1e9, 65536)] {
            assert_eq!(Rate::new(per_second, || false).piece(), piece);
        }
    }

    /// A pause of more than an hour ends when the limit is lifted.
    #[test]
    fn lifting_the_limit_ends_a_pause() {
        static LIFTED: AtomicBool = AtomicBool::new(false);
        let rate = Rate::new(1.0, || LIFTED.load(Ordering::Relaxed));
        rate.wait(4000.0);
        thread::scope(|scope| {
            let waits = scope.spawn(|| rate.wait(1.0));
            assert!(!waits.is_finished());
            LIFTED.store(true, Ordering::Relaxed);
            waits.join().unwrap();
        });
    }
}
