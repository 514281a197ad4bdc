// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The pools of worker threads. They belong to the process, because the host does not notify an instance when its graph
//! is replaced. Threads are started on demand and end after they have been idle for a while.
//!
//! Recalls and handshakes wait for the store, and their number is limited. Work that needs no store has pools of its
//! own, so that a query never waits for a transfer.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::host::guard;
use crate::host::thread;
use cloudsync_logic::host::NoThread;
use cloudsync_logic::objects::depths::DEPTHS;

/// How long an idle thread waits for work before it ends.
const IDLE: Duration = Duration::from_secs(30);

type Task = Box<dyn FnOnce() + Send>;

/// A pool of threads for one kind of work.
pub struct Pool {
    name: &'static str,
    /// How many threads are worth while, at most the limit of [`Pool::run`].
    worthwhile: fn() -> usize,
    /// Called after each task, with whether others are waiting.
    did: fn(bool),
    state: Mutex<State>,
    work: Condvar,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.name)
    }
}

struct State {
    queue: VecDeque<Task>,
    threads: usize,
    idle: usize,
    /// The last limit of [`Pool::run`].
    limit: usize,
    /// Numbers thread names.
    started: usize,
}

/// Recalls of small files.
pub static SMALL: Pool = Pool::measured(
    "glfs_csrec",
    || DEPTHS.small(),
    |waiting| DEPTHS.did_small(waiting),
);

/// Handshakes, which query the store.
pub static ARCHIVES: Pool = Pool::new("glfs_csarc");

/// Recalls of large files.
pub static LARGE: Pool = Pool::measured("glfs_csbig", || DEPTHS.large(), |_| {});

/// Requests to the store that readers wait for.
pub static READS: Pool = Pool::new("glfs_csget");

/// Short work on the bricks, such as queries of a file's state.
pub static BRICKS: Pool = Pool::new("glfs_csask");

/// Answers about the client itself, which need no brick: an administrator asks while the others hang.
pub static ABOUT: Pool = Pool::new("glfs_csinfo");

/// Work under a file's lock that needs no store. It may wait while another client recalls the file.
pub static LOCKS: Pool = Pool::new("glfs_cslck");

thread_local! {
    /// The pool of this thread.
    static MINE: Cell<Option<&'static Pool>> = const { Cell::new(None) };
}

/// The number of tasks that wait for long.
static WAITING: AtomicUsize = AtomicUsize::new(0);
/// The most of them: each has a thread.
const MANY: usize = 256;

/// Called before and after a task waits for long (`begins`: before), so that another thread of its pool can take its
/// place. Returns whether it may wait.
pub fn waits(begins: bool) -> bool {
    if !begins {
        WAITING.fetch_sub(1, Ordering::AcqRel);
    } else if WAITING.fetch_add(1, Ordering::AcqRel) >= MANY {
        WAITING.fetch_sub(1, Ordering::AcqRel);
        return false;
    }
    if let Some(pool) = MINE.get() {
        pool.count_waiting(begins);
    }
    true
}

impl Pool {
    const fn new(name: &'static str) -> Self {
        Self::measured(name, || usize::MAX, |_| {})
    }

    const fn measured(name: &'static str, worthwhile: fn() -> usize, did: fn(bool)) -> Self {
        Self {
            name,
            worthwhile,
            did,
            state: Mutex::new(State {
                queue: VecDeque::new(),
                threads: 0,
                idle: 0,
                limit: 1,
                started: 0,
            }),
            work: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `task` on one of at most `limit` threads, first come first served. Never blocks.
    ///
    /// # Errors
    /// [`NoThread`]; the task was dropped without being run.
    pub fn run(
        &'static self,
        limit: usize,
        task: impl FnOnce() + Send + 'static,
    ) -> Result<(), NoThread> {
        let mut pool = self.state();
        pool.limit = limit.max(1);
        pool.queue.push_back(Box::new(task));
        if pool.idle >= pool.queue.len() {
            drop(pool);
            self.work.notify_one();
            return Ok(());
        }
        if pool.threads >= self.limit(&pool) || self.start(&mut pool) || pool.threads > 0 {
            return Ok(());
        }
        pool.queue.pop_back();
        Err(NoThread)
    }

    fn limit(&self, pool: &State) -> usize {
        pool.limit.min((self.worthwhile)()).max(1)
    }

    /// Starts a thread. Under the lock, so that nobody counts one that cannot be started. Returns whether it could.
    fn start(&'static self, pool: &mut State) -> bool {
        let name = format!("{}{}", self.name, pool.started);
        let started = thread::spawn(name, || self.serve()).is_ok();
        pool.threads += usize::from(started);
        pool.started += usize::from(started);
        started
    }

    /// The number of tasks that wait for a thread.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state().queue.len()
    }

    /// A thread that waits for long is not one of the pool's meanwhile.
    fn count_waiting(&'static self, begins: bool) {
        let mut pool = self.state();
        if !begins {
            pool.threads += 1;
            return;
        }
        pool.threads -= 1;
        if pool.idle < pool.queue.len() && pool.threads < self.limit(&pool) {
            self.start(&mut pool);
        }
    }

    fn serve(&'static self) {
        MINE.set(Some(self));
        let mut pool = self.state();
        loop {
            let limit = self.limit(&pool);
            if pool.threads > limit {
                pool.threads -= 1;
                // It may have been woken for a task, which another one does then.
                self.work.notify_one();
                return;
            }
            if let Some(task) = pool.queue.pop_front() {
                // More may be worth while than when the tasks were queued.
                if pool.idle < pool.queue.len() && pool.threads < limit {
                    self.start(&mut pool);
                }
                drop(pool);
                guard::catch((), task);
                pool = self.state();
                (self.did)(!pool.queue.is_empty());
                continue;
            }
            pool.idle += 1;
            let (again, timeout) = self
                .work
                .wait_timeout(pool, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            pool = again;
            pool.idle -= 1;
            if timeout.timed_out() && pool.queue.is_empty() {
                pool.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    static POOL: Pool = Pool::new("test");

    #[test]
    fn every_task_runs_on_at_most_so_many_threads() {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (done, all) = mpsc::channel();
        for _ in 0..100 {
            let (running, most, done) = (Arc::clone(&running), Arc::clone(&most), done.clone());
            POOL.run(4, move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                done.send(()).unwrap();
            })
            .unwrap();
        }
        for _ in 0..100 {
            all.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= 4);
    }

    #[test]
    fn a_panic_ends_the_task_and_not_the_thread() {
        let (done, all) = mpsc::channel();
        POOL.run(1, || panic!("a bug in a test")).unwrap();
        POOL.run(1, move || done.send(()).unwrap()).unwrap();
        all.recv_timeout(Duration::from_secs(20)).unwrap();
    }

    #[test]
    fn a_task_that_waits_for_long_gives_its_place_to_another() {
        static POOL: Pool = Pool::new("waits");
        let (done, other) = mpsc::channel();
        let (ended, end) = mpsc::channel();
        POOL.run(1, move || {
            assert!(waits(true));
            let came = other.recv_timeout(Duration::from_secs(20));
            assert!(waits(false));
            ended.send(came).unwrap();
        })
        .unwrap();
        POOL.run(1, move || done.send(()).unwrap()).unwrap();
        assert_eq!(end.recv_timeout(Duration::from_secs(40)), Ok(Ok(())));
    }
}
