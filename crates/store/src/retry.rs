// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Decides on retries of requests to a store: exponential back-off with full jitter, so that a thousand clients refused
//! at the same time do not retry at the same time.

#![forbid(unsafe_code)]

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::StoreError;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long to retry without progress.
const TIME_LIMIT: Duration = Duration::from_secs(120);
/// Bytes of an attempt that count as progress. A store that keeps failing may deliver a few before each failure.
const PROGRESS: u64 = 256 << 10;

/// The attempts of one request.
#[derive(Debug)]
pub struct Tries {
    most: u32,
    failed: u32,
    since: Instant,
}

impl Tries {
    /// Allows up to `most` retries in a row without progress, within two minutes.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self {
            most,
            failed: 0,
            since: Instant::now(),
        }
    }

    /// Records that the last attempt delivered `bytes`. Enough of them reset the count.
    pub fn brought(&mut self, bytes: u64) {
        if bytes >= PROGRESS {
            *self = Self::new(self.most);
        }
    }

    /// Records that the last attempt was seen to work until `when`, though in vain: the two minutes count from then.
    pub fn worked_until(&mut self, when: Instant) {
        self.since = self.since.max(when);
    }

    /// The number of retries in a row without progress so far.
    #[must_use]
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// Returns the pause before the next attempt, after one that failed with `error`, which is temporary if `may_pass`.
    ///
    /// # Errors
    /// That error, if it must not be retried.
    pub fn again(&mut self, error: StoreError, may_pass: bool) -> Result<Duration, StoreError> {
        if !may_pass || self.failed >= self.most || self.since.elapsed() >= TIME_LIMIT {
            return Err(error);
        }
        let most = FIRST_PAUSE
            .saturating_mul(1 << self.failed.min(16))
            .min(LONGEST_PAUSE);
        self.failed += 1;
        // Every `RandomState` has a new random seed.
        let random = RandomState::new().hash_one(self.failed) >> 32;
        Ok(most.mul_f64(random as f64 / f64::from(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> StoreError {
        StoreError::Throttled("slow down".to_owned())
    }

    #[test]
    fn pauses_grow_differ_and_end() {
        let mut tries = Tries::new(20);
        let pauses: Vec<_> = (0..20)
            .map(|_| tries.again(busy(), true).unwrap())
            .collect();
        assert!(
            pauses.iter().all(|pause| *pause <= LONGEST_PAUSE),
            "{pauses:?}"
        );
        assert!(
            pauses[10..].iter().max() > pauses[..3].iter().max(),
            "{pauses:?}"
        );
        assert!(pauses[12..].iter().any(|pause| *pause != pauses[11]));
        assert_eq!(tries.again(busy(), true), Err(busy()));
    }

    #[test]
    fn what_does_not_pass_is_not_asked_again() {
        assert!(Tries::new(20).again(busy(), false).is_err());
        assert!(Tries::new(0).again(busy(), true).is_err());
    }

    /// A part on a slow line may take longer than the limit, and is sent again all the same if it breaks off.
    #[test]
    fn time_at_work_does_not_count() {
        let mut tries = Tries::new(1);
        tries.since = Instant::now().checked_sub(TIME_LIMIT).unwrap();
        tries.worked_until(Instant::now());
        tries.again(busy(), true).unwrap();
        assert_eq!(tries.failed(), 1);
        assert!(tries.again(busy(), true).is_err());
    }

    #[test]
    fn getting_somewhere_begins_anew_and_a_trickle_does_not() {
        let mut tries = Tries::new(1);
        tries.again(busy(), true).unwrap();
        tries.brought(PROGRESS - 1);
        assert!(tries.again(busy(), true).is_err());
        tries.brought(PROGRESS);
        assert!(tries.again(busy(), true).is_ok());
    }
}
