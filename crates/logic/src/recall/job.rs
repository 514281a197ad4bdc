// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A job on a file: its waiting operations, how readers are served during its recall, and whether it is still wanted.

#![forbid(unsafe_code)]

use cloudsync_format::history::By;
use cloudsync_format::jobs::{Stage, Waiter};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::decision::Want;
use crate::gfid::Gfid;
use crate::host::{Host, Ticket as _};
use crate::objects::chunk::Chunk;
use crate::objects::object::Object;
use crate::protocol::lease::Lease;
use crate::queue::Parts;
use crate::recall::tracker::Tracker;
use crate::sync::atomic::{AtomicI32, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The tracker of a recall's writes.
type TrackerOf<H> = Tracker<Chunk<<H as Host>::Buffer>>;

/// A job on a file, and the operations that wait for it.
#[derive(Debug)]
pub struct Job<H: Host> {
    /// The file.
    pub gfid: Gfid,
    /// When it was created.
    pub started: Instant,
    /// Its inode in this client; during a lookup, it is not linked yet.
    pub inode: H::Inode,
    /// What its first waiter waits for.
    pub want: Want,
    /// Whose operation started it.
    pub by: Option<Waiter>,
    /// Who that is, once determined.
    pub who: OnceLock<By>,
    /// Whether it has the file's lock.
    pub lease: Lease,
    /// Not 0 once the job is cancelled. Plugins can read it.
    pub cancelled: AtomicI32,
    /// A user requested the recall and does not wait for it.
    requested: bool,
    /// When the file was last read during the job.
    last_read: Mutex<Option<Instant>>,
    /// Tracks the recall's writes, while it fetches.
    tracker: Mutex<Option<Arc<TrackerOf<H>>>>,
    serving: Mutex<Option<Serving<H>>>,
    waiters: Mutex<Vec<H::Ticket>>,
    stage: Mutex<Stage>,
}

/// Serves reads during a recall of the whole file, while it holds the lock.
#[derive(Debug)]
pub struct Serving<H: Host> {
    /// Knows which bytes are on the bricks.
    pub tracker: Arc<TrackerOf<H>>,
    /// Provides the other bytes.
    pub object: Arc<Object<H>>,
    /// The recall's queue, in which requested parts move to the front.
    pub parts: Arc<Parts>,
}

impl<H: Host> Clone for Serving<H> {
    fn clone(&self) -> Self {
        Self {
            tracker: Arc::clone(&self.tracker),
            object: Arc::clone(&self.object),
            parts: Arc::clone(&self.parts),
        }
    }
}

impl<H: Host> Serving<H> {
    /// Serves a read. Never blocks.
    pub fn read(&self, ticket: H::Ticket) {
        // What is still in memory need not be read from the bricks.
        let Err(ticket) = self.object.read_present(ticket) else {
            return;
        };
        let range = self.object.range(&ticket);
        match self.tracker.read(range.clone(), &self.object.attributes) {
            Some(reading) => ticket.read_beside(reading),
            None => {
                self.parts.pull(range.start);
                self.object.read(ticket, false);
            }
        }
    }
}

/// How long a recall counts as wanted after a read during it.
const LINGER: Duration = Duration::from_secs(5);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<H: Host> Job<H> {
    /// Creates a job for which `ticket` waits, if there is one. `by` and `requested`: see
    /// [`crate::recall::engine::Engine::start`].
    #[must_use]
    pub fn new(
        gfid: Gfid,
        inode: H::Inode,
        want: Want,
        by: Option<Waiter>,
        requested: bool,
        ticket: Option<H::Ticket>,
    ) -> Self {
        Self {
            gfid,
            started: Instant::now(),
            inode,
            want,
            by: by.or_else(|| ticket.as_ref().map(|ticket| ticket.who())),
            who: OnceLock::new(),
            lease: Lease::default(),
            cancelled: AtomicI32::new(0),
            requested,
            last_read: Mutex::new((!requested).then(Instant::now)),
            tracker: Mutex::new(None),
            serving: Mutex::new(None),
            waiters: Mutex::new(ticket.into_iter().collect()),
            stage: Mutex::new(Stage::Queued),
        }
    }

    /// Adds a waiter, if there is one, and records that the job is wanted.
    pub fn join(&self, ticket: Option<H::Ticket>) {
        lock(&self.waiters).extend(ticket);
        self.touch();
    }

    /// Removes and returns all waiters, which the caller must answer.
    #[must_use]
    pub fn take_waiters(&self) -> Vec<H::Ticket> {
        std::mem::take(&mut *lock(&self.waiters))
    }

    /// The number of waiters; `None` if it cannot be determined without blocking.
    #[must_use]
    pub fn waiting(&self) -> Option<usize> {
        Some(self.waiters.try_lock().ok()?.len())
    }

    /// What waits; nothing if that cannot be determined without blocking.
    #[must_use]
    pub fn waiters(&self) -> Vec<Waiter> {
        let waiters = self.waiters.try_lock().ok();
        let waiters = waiters.iter().flat_map(|waiters| waiters.iter());
        waiters.map(|ticket| ticket.who()).collect()
    }

    /// Records what it does now.
    pub fn enter(&self, stage: Stage) {
        *lock(&self.stage) = stage;
    }

    /// What it does now.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *lock(&self.stage)
    }

    /// A brick disconnected: see [`Tracker::lose`].
    pub fn lose(&self) {
        if let Some(tracker) = &*lock(&self.tracker) {
            tracker.lose();
        }
    }

    /// Removes and returns the truncating operation for which the job was started, if it still waits.
    #[must_use]
    pub fn take_truncation(&self) -> Option<H::Ticket> {
        let mut waiters = lock(&self.waiters);
        // It is the first of them, since the job was started for it.
        let place = waiters.iter().position(|ticket| ticket.truncates())?;
        Some(waiters.remove(place))
    }

    /// Resumes all waiters: the file is local, so they need not wait for the end of the job.
    pub fn resume(&self) {
        for ticket in self.take_waiters() {
            ticket.again();
        }
    }

    /// Puts back the operation that [`Self::take_truncation`] removed.
    pub fn wait_again(&self, ticket: H::Ticket) {
        lock(&self.waiters).insert(0, ticket);
    }

    /// Records that the file is being read.
    fn touch(&self) {
        *lock(&self.last_read) = Some(Instant::now());
    }

    /// Whether a user requested the recall, an operation waits for it, or the file was read recently.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.requested
            || lock(&self.last_read).is_some_and(|when| when.elapsed() < LINGER)
            || !lock(&self.waiters).is_empty()
    }

    /// Starts serving reads, or, with `None`, stops.
    pub fn serve(&self, serving: Option<Serving<H>>) {
        let old = std::mem::replace(&mut *lock(&self.serving), serving);
        drop(old);
    }

    /// Serves the waiting reads: all bytes of the file are in memory. Called on the job's own thread.
    pub fn serve_readers(&self) {
        let mut waiters = lock(&self.waiters);
        let reads = waiters.extract_if(.., |ticket| ticket.is_read());
        let reads: Vec<_> = reads.collect();
        drop(waiters);
        // Only checked now that the reads are taken: one that arrived after the lock was lost may follow another
        // client's write, which our bytes do not include.
        let Some(serving) = self.serving() else {
            lock(&self.waiters).extend(reads);
            return;
        };
        for ticket in reads {
            serving.read(ticket);
        }
    }

    /// Stops serving reads, and waits for those in flight to the bricks.
    pub fn end_reading(&self) {
        self.serve(None);
        let tracker = lock(&self.tracker).clone();
        if let Some(tracker) = tracker {
            tracker.end_reading();
        }
    }

    /// How to serve reads; `None` if they must wait for the recall.
    #[must_use]
    pub fn serving(&self) -> Option<Serving<H>> {
        let serving = lock(&self.serving).clone();
        let serving = serving.filter(|serving| !serving.tracker.is_lost());
        if serving.is_some() {
            self.touch();
        }
        serving
    }

    /// Cancels the job; its waiters get ECANCELED when it ends.
    pub fn cancel(&self) {
        self.cancelled.store(1, Ordering::Release);
        if let Some(tracker) = &*lock(&self.tracker) {
            tracker.cancel();
        }
    }

    /// Sets the tracker of the recall's writes.
    pub fn follow(&self, tracker: &Arc<TrackerOf<H>>) {
        *lock(&self.tracker) = Some(Arc::clone(tracker));
        // The job may have been cancelled just before.
        if self.cancelled.load(Ordering::Acquire) != 0 {
            tracker.cancel();
        }
    }

    /// The number of bytes on the bricks, and the number to recall; `None` if the job is not fetching.
    #[must_use]
    pub fn progress(&self) -> Option<(u64, u64)> {
        lock(&self.tracker)
            .as_ref()
            .map(|tracker| (tracker.written().bytes, tracker.size()))
    }
}
