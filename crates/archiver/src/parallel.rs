// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs work on several threads: one produces items, the others process them, and few items wait in between.

use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Runs `one` in `jobs` threads on every item that `feed` passes to its argument. `feed` should return when that
/// returns false. Returns the result of `feed`, after all items were processed.
pub(crate) fn parallel<T: Send, R: Send>(
    jobs: usize,
    feed: impl FnOnce(&(dyn Fn(T) -> bool + Sync)) -> R + Send,
    one: &(dyn Fn(T) + Sync),
) -> R {
    let (send, receive) = sync_channel::<T>(jobs * 2);
    let receive = Mutex::new(receive);
    // The lock is held while waiting; threads that wait for it would have nothing to do either.
    let next = || {
        receive
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv()
            .ok()
    };
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(thing) = next() {
                    one(thing);
                }
            });
        }
        // Dropped when `feed` returns, which ends the threads.
        let send = send;
        feed(&|thing| send.send(thing).is_ok())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn everything_is_done_once() {
        let sum = AtomicU64::new(0);
        let fed = parallel(3, |give| (1..=1000_u64).all(give), &|number| {
            sum.fetch_add(number, Ordering::Relaxed);
        });
        assert!(fed);
        assert_eq!(sum.into_inner(), 500_500);
    }
}
