// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs work on several threads: one produces items, the others process them, and few items wait in between. How many
//! threads bring more is found by measuring ([`cloudsync_depth`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};
use std::time::Instant;

use cloudsync_depth::Depth;

/// The most threads if the user does not say.
pub(crate) const AUTO: u16 = 128;
/// The number of threads to begin with.
const BEGIN: usize = 32;
/// The least.
const LEAST: usize = 4;

/// Runs `one` in at most `most` threads on every item that `feed` passes to its argument. `feed` should return when that
/// returns false. Returns the result of `feed`, after all items were processed.
pub(crate) fn parallel<T: Send, R: Send>(
    most: u16,
    feed: impl FnOnce(&(dyn Fn(T) -> bool + Sync)) -> R + Send,
    one: &(dyn Fn(T) + Sync),
) -> R {
    let most = usize::from(most);
    let (send, receive) = sync_channel::<T>(most.min(BEGIN) * 2);
    let crew = Crew {
        items: Mutex::new(receive),
        one,
        size: Mutex::new(Size {
            threads: 0,
            depth: Depth::new(BEGIN.min(most), BEGIN.min(most), LEAST.min(most), most),
        }),
    };
    thread::scope(|scope| {
        crew.fill(scope);
        // Dropped when `feed` returns, which ends the threads.
        let send = send;
        feed(&|thing| send.send(thing).is_ok())
    })
}

/// The threads.
struct Crew<'a, T> {
    items: Mutex<Receiver<T>>,
    one: &'a (dyn Fn(T) + Sync),
    size: Mutex<Size>,
}

struct Size {
    threads: usize,
    depth: Depth,
}

/// Locks data that is whole even if a thread panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds to a counter that several threads have.
pub(crate) fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

impl<T: Send> Crew<'_, T> {
    /// Starts as many threads as are worth while.
    fn fill<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        let mut size = lock(&self.size);
        while size.threads < size.depth.get() {
            size.threads += 1;
            scope.spawn(move || self.work(scope));
        }
    }

    fn work<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        while let Some((item, waited)) = self.next() {
            (self.one)(item);
            let mut size = lock(&self.size);
            // Whoever had to wait for an item has nothing to gain from more threads.
            size.depth.did(1, 1, !waited, Instant::now());
            if size.threads > size.depth.get() {
                size.threads -= 1;
                return;
            }
            drop(size);
            self.fill(scope);
        }
    }

    /// The next item, and whether it had to be waited for.
    fn next(&self) -> Option<(T, bool)> {
        // The lock is held while waiting; threads that wait for it would have nothing to do either.
        let items = lock(&self.items);
        match items.try_recv() {
            Ok(item) => Some((item, false)),
            Err(TryRecvError::Empty) => items.recv().ok().map(|item| (item, true)),
            Err(TryRecvError::Disconnected) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn everything_is_done_once() {
        for most in [1, 3, 256] {
            let sum = AtomicU64::new(0);
            let fed = parallel(most, |give| (1..=1000_u64).all(give), &|number| {
                sum.fetch_add(number, Ordering::Relaxed);
            });
            assert!(fed);
            assert_eq!(sum.into_inner(), 500_500);
        }
    }

    #[test]
    fn slow_work_gets_more_threads_up_to_the_most() {
        let (now, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
        parallel(64, |give| (0..2000).all(give), &|_| {
            seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(20));
            now.fetch_sub(1, Ordering::SeqCst);
        });
        let seen = seen.into_inner();
        assert!(seen > BEGIN && seen <= 64, "{seen}");
    }
}
