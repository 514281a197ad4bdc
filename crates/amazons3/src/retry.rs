// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! When to ask again: exponential pauses with full jitter, so that a thousand clients that were refused together do
//! not come back together.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::failure::Failure;
use cloudsync_store::StoreError;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long to go on without getting anywhere.
const PATIENCE: Duration = Duration::from_secs(120);
/// A connection that brought so much got somewhere. Less is what a store hands out that dies and comes back.
const SOMEWHERE: u64 = 256 << 10;

/// The tries of one request.
#[derive(Debug)]
pub(crate) struct Tries {
    most: u32,
    failed: u32,
    since: Instant,
}

impl Tries {
    pub(crate) fn new(retries: u32) -> Self {
        Self {
            most: retries,
            failed: 0,
            since: Instant::now(),
        }
    }

    /// The last try brought `bytes`. Enough of them, and the count begins anew.
    pub(crate) fn brought(&mut self, bytes: u64) {
        if bytes >= SOMEWHERE {
            *self = Self::new(self.most);
        }
    }

    /// How long to pause before the next try; or the error, when there is none.
    pub(crate) fn again(&mut self, failure: Failure) -> Result<Duration, StoreError> {
        if !failure.passing || self.failed >= self.most || self.since.elapsed() >= PATIENCE {
            return Err(failure.error);
        }
        let most = FIRST_PAUSE
            .saturating_mul(1 << self.failed.min(16))
            .min(LONGEST_PAUSE);
        self.failed += 1;
        Ok(most.mul_f64(fastrand::f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(passing: bool) -> Failure {
        Failure {
            error: StoreError::Throttled("slow down".to_owned()),
            passing,
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        let mut tries = Tries::new(20);
        let most = (0..20)
            .map(|_| tries.again(failure(true)).unwrap())
            .max()
            .unwrap();
        assert!(most <= LONGEST_PAUSE, "{most:?}");
        assert_eq!(tries.again(failure(true)), Err(failure(true).error));
    }

    #[test]
    fn what_does_not_pass_is_not_asked_again() {
        assert!(Tries::new(20).again(failure(false)).is_err());
        assert!(Tries::new(0).again(failure(true)).is_err());
    }

    #[test]
    fn getting_somewhere_begins_anew_and_a_trickle_does_not() {
        let mut tries = Tries::new(1);
        tries.again(failure(true)).unwrap();
        tries.brought(SOMEWHERE - 1);
        assert!(tries.again(failure(true)).is_err());
        tries.brought(SOMEWHERE);
        assert!(tries.again(failure(true)).is_ok());
    }
}
