// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Counts an instance's work in progress, so that it is not torn down during it.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The count of work in progress.
#[derive(Debug, Default)]
pub struct Busy {
    count: Mutex<usize>,
    idle: Condvar,
}

/// Counts one piece of work until it is dropped.
#[derive(Debug)]
pub struct Running(Arc<Busy>);

impl Busy {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more piece of work.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> Running {
        *self.lock() += 1;
        Running(Arc::clone(self))
    }

    /// Waits until no work is in progress. Returns false if some still is after `at_most`.
    #[must_use]
    pub fn wait_until_idle(&self, at_most: Duration) -> bool {
        let end = Instant::now() + at_most;
        let mut count = self.lock();
        while *count > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            count = self
                .idle
                .wait_timeout(count, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.idle.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_idle_when_the_last_one_is_gone() {
        let busy = Arc::new(Busy::default());
        let (one, two) = (busy.begin(), busy.begin());
        drop(one);
        assert!(!busy.wait_until_idle(Duration::from_millis(1)));
        let other = Arc::clone(&busy);
        let waiter = std::thread::spawn(move || other.wait_until_idle(Duration::from_secs(20)));
        drop(two);
        assert!(waiter.join().unwrap());
    }
}
