// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A job: who waits for a file, who is served beside its recall, and whether it is still wanted.

#![forbid(unsafe_code)]

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

/// What counts the writes of a recall.
type TrackerOf<H> = Tracker<Chunk<<H as Host>::Buffer>>;

/// A job and who waits for it.
#[derive(Debug)]
pub struct Job<H: Host> {
    /// The file.
    pub gfid: Gfid,
    /// Its inode in this client; a lookup's own is not linked yet.
    pub inode: H::Inode,
    /// What its first waiter waits for.
    pub want: Want,
    /// Whether it has the file's lock.
    pub lease: Lease,
    /// Not 0 once it is cancelled; a plugin may look at it.
    pub cancelled: AtomicI32,
    /// Somebody asked for the file itself, and does not wait.
    asked: bool,
    /// When somebody last read beside it.
    read: Mutex<Option<Instant>>,
    /// The writes of the recall, while it fetches.
    tracker: Mutex<Option<Arc<TrackerOf<H>>>>,
    serving: Mutex<Option<Serving<H>>>,
    waiters: Mutex<Vec<H::Ticket>>,
}

/// What a recall serves readers with, while it holds the lock and brings the whole file.
#[derive(Debug)]
pub struct Serving<H: Host> {
    /// Which bytes are on the bricks.
    pub tracker: Arc<TrackerOf<H>>,
    /// Where the others come from.
    pub object: Arc<Object<H>>,
    /// In which order.
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

/// How long a recall counts as wanted after a read beside it.
const LINGER: Duration = Duration::from_secs(5);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<H: Host> Job<H> {
    /// A job for which `ticket` waits, if there is one. `asked`: somebody wants the file to come, and not only to read.
    #[must_use]
    pub fn new(
        gfid: Gfid,
        inode: H::Inode,
        want: Want,
        asked: bool,
        ticket: Option<H::Ticket>,
    ) -> Self {
        Self {
            gfid,
            inode,
            want,
            lease: Lease::default(),
            cancelled: AtomicI32::new(0),
            asked,
            read: Mutex::new((!asked).then(Instant::now)),
            tracker: Mutex::new(None),
            serving: Mutex::new(None),
            waiters: Mutex::new(ticket.into_iter().collect()),
        }
    }

    /// One more waits for it, or only wants it.
    pub fn join(&self, ticket: Option<H::Ticket>) {
        lock(&self.waiters).extend(ticket);
        self.touch();
    }

    /// Nobody waits for it any more: those that did are the caller's to answer.
    #[must_use]
    pub fn take_waiters(&self) -> Vec<H::Ticket> {
        std::mem::take(&mut *lock(&self.waiters))
    }

    /// How many operations wait for it; `None` when that cannot be told without waiting.
    #[must_use]
    pub fn waiting(&self) -> Option<usize> {
        Some(self.waiters.try_lock().ok()?.len())
    }

    /// A brick disconnected: see [`Tracker::lose`].
    pub fn lose(&self) {
        if let Some(tracker) = &*lock(&self.tracker) {
            tracker.lose();
        }
    }

    /// Takes the operation that cuts the file, and that the job was started for, from those that wait.
    #[must_use]
    pub fn take_truncation(&self) -> Option<H::Ticket> {
        let mut waiters = lock(&self.waiters);
        // It came first.
        let place = waiters.iter().position(|ticket| ticket.truncates())?;
        Some(waiters.remove(place))
    }

    /// The file is local: whoever waits for it need not wait for the job's end.
    pub fn resume(&self) {
        for ticket in self.take_waiters() {
            ticket.again();
        }
    }

    /// It waits as before.
    pub fn wait_again(&self, ticket: H::Ticket) {
        lock(&self.waiters).insert(0, ticket);
    }

    /// Somebody reads beside it.
    fn touch(&self) {
        *lock(&self.read) = Some(Instant::now());
    }

    /// Whether somebody asked for the file, an operation waits for it, or somebody has just read what it brings.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.asked
            || lock(&self.read).is_some_and(|when| when.elapsed() < LINGER)
            || !lock(&self.waiters).is_empty()
    }

    /// Readers are served from now on, or, with `None`, not any more.
    pub fn serve(&self, serving: Option<Serving<H>>) {
        let old = std::mem::replace(&mut *lock(&self.serving), serving);
        drop(old);
    }

    /// Those that wait for the file and only read need not wait for it any longer: all its bytes are in memory. For the
    /// job's own thread.
    pub fn serve_readers(&self) {
        let mut waiters = lock(&self.waiters);
        let reads = waiters.extract_if(.., |ticket| ticket.is_read());
        let reads: Vec<_> = reads.collect();
        drop(waiters);
        // In this order: who came after the lock was lost may have seen what another client wrote.
        let Some(serving) = self.serving() else {
            lock(&self.waiters).extend(reads);
            return;
        };
        for ticket in reads {
            serving.read(ticket);
        }
    }

    /// Readers are not served any more, and those that are on the bricks are waited for.
    pub fn end_reading(&self) {
        self.serve(None);
        let tracker = lock(&self.tracker).clone();
        if let Some(tracker) = tracker {
            tracker.end_reading();
        }
    }

    /// What readers are served with.
    #[must_use]
    pub fn serving(&self) -> Option<Serving<H>> {
        let serving = lock(&self.serving).clone();
        let serving = serving.filter(|serving| !serving.tracker.is_lost());
        if serving.is_some() {
            self.touch();
        }
        serving
    }

    /// Makes it end soon, with ECANCELED for everybody who waits for it.
    pub fn cancel(&self) {
        self.cancelled.store(1, Ordering::Release);
        if let Some(tracker) = &*lock(&self.tracker) {
            tracker.cancel();
        }
    }

    /// Its writes go through `tracker` from now on.
    pub fn follow(&self, tracker: &Arc<TrackerOf<H>>) {
        *lock(&self.tracker) = Some(Arc::clone(tracker));
        // Cancelled in between?
        if self.cancelled.load(Ordering::Acquire) != 0 {
            tracker.cancel();
        }
    }

    /// Bytes that are on the bricks, and bytes in all; `None` while it does not fetch.
    #[must_use]
    pub fn progress(&self) -> Option<(u64, u64)> {
        lock(&self.tracker)
            .as_ref()
            .map(|tracker| (tracker.written().bytes, tracker.size()))
    }
}
