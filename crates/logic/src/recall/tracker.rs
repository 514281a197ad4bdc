// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a plugin writes, counted: bytes in flight are bounded, acknowledged ranges and the first error remembered.
//!
//! The plugin winds its writes to a child that is ours (shim/store.c), so one that fires writes and never looks back
//! is as safe as one that waits. A write that is not part of a running recall is refused: a late one, from a
//! plugin that returned too early, can never reach a brick.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::ops::Range;

use crate::crash;
use crate::errno::Errno;
use crate::ranges::Ranges;
use crate::recall::written::{WriteError, Written};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Recalls that accept writes, by the address of their descriptor. A recall holds a reference to its descriptor
/// while it is listed, so no other descriptor can have the address.
///
/// `C`: the memory that writes are made of.
#[derive(Debug)]
pub struct Trackers<C: 'static>(Mutex<HashMap<usize, Arc<Tracker<C>>>>);

impl<C: 'static> Default for Trackers<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writes of one recall.
#[derive(Debug)]
pub struct Tracker<C: 'static> {
    /// Where it is listed.
    all: &'static Trackers<C>,
    descriptor: usize,
    size: u64,
    window: u64,
    state: Mutex<State<C>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<C> {
    /// Reads of applications that are on the bricks at this moment.
    readers: usize,
    /// No more of them.
    readers_end: bool,
    flying_bytes: u64,
    flying: usize,
    /// Memory that writes in flight are made of, by their offset.
    held: HashMap<u64, Arc<C>>,
    acknowledged: Ranges,
    failed: Option<WriteError>,
    moved_mtime: bool,
    /// A brick disconnected.
    lost: bool,
    /// The lock may be lost.
    paused: bool,
    closed: bool,
}

impl<C> Default for State<C> {
    fn default() -> Self {
        Self {
            readers: 0,
            readers_end: false,
            flying_bytes: 0,
            flying: 0,
            held: HashMap::new(),
            acknowledged: Ranges::default(),
            failed: None,
            moved_mtime: false,
            lost: false,
            paused: false,
            closed: false,
        }
    }
}

/// A read that is on the bricks while the file is recalled. As long as there is one, the recall cuts nothing.
#[derive(Debug)]
pub struct Reading<C: 'static, A> {
    tracker: Arc<Tracker<C>>,
    attributes: A,
}

impl<C, A: Copy> Reading<C, A> {
    /// What the file's attributes are.
    #[must_use]
    pub const fn attributes(&self) -> A {
        self.attributes
    }

    /// Whether the recall still has its lock.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        !self.tracker.is_lost()
    }
}

impl<C, A> Drop for Reading<C, A> {
    fn drop(&mut self) {
        lock(&self.tracker.state).readers -= 1;
        self.tracker.changed.notify_all();
    }
}

/// One write in flight.
#[derive(Debug)]
pub struct Slot<C: 'static> {
    tracker: Arc<Tracker<C>>,
    range: Range<u64>,
}

impl<C> Trackers<C> {
    /// Accepts writes to `descriptor` (its address) of a file of `size` bytes from now on, with at most `window`
    /// bytes in flight.
    #[must_use]
    pub fn open(&'static self, descriptor: usize, size: u64, window: u64) -> Arc<Tracker<C>> {
        let tracker = Arc::new(Tracker {
            all: self,
            descriptor,
            size,
            window,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        lock(&self.0).insert(descriptor, Arc::clone(&tracker));
        tracker
    }

    /// A plugin writes `length` bytes at `offset` to the descriptor at this address. Blocks while too much is in flight.
    ///
    /// # Errors
    /// ESTALE outside a recall, EBADMSG past the file's end, or the errno of the recall's first failed write.
    pub fn begin(&self, descriptor: usize, offset: u64, length: u64) -> Result<Slot<C>, Errno> {
        let tracker = lock(&self.0)
            .get(&descriptor)
            .map(Arc::clone)
            .ok_or(Errno::ESTALE)?;
        tracker.begin(offset, length)
    }
}

impl<C> Tracker<C> {
    /// The file's size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Makes the plugin's next write fail, and wakes one that waits.
    pub fn cancel(&self) {
        lock(&self.state)
            .failed
            .get_or_insert(WriteError::Cancelled);
        self.changed.notify_all();
    }

    /// Holds the memory of the write at `offset`, which is about to begin, until it is answered.
    pub fn hold(&self, offset: u64, chunk: &Arc<C>) {
        lock(&self.state).held.insert(offset, Arc::clone(chunk));
    }

    /// A read of these bytes may go to the bricks: they have them. Not one of nothing, behind the end: a brick would say where
    /// its end is now.
    #[must_use]
    pub fn read<A: Copy>(
        self: &Arc<Self>,
        range: Range<u64>,
        attributes: &A,
    ) -> Option<Reading<C, A>> {
        let mut state = lock(&self.state);
        if state.readers_end
            || state.lost
            || state.failed.is_some()
            || range.is_empty()
            || !state.acknowledged.contains(range)
        {
            return None;
        }
        state.readers += 1;
        Some(Reading {
            tracker: Arc::clone(self),
            attributes: *attributes,
        })
    }

    /// Lets no more reads to the bricks, and waits until those that are there are answered.
    pub fn end_reading(&self) {
        let mut state = lock(&self.state);
        state.readers_end = true;
        while state.readers > 0 {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A brick disconnected: the lock may be lost, and acknowledged bytes. Writes fail with EAGAIN until [`Self::trust`], and
    /// nothing is read from the bricks beside the recall any more.
    pub fn lose(&self) {
        let mut state = lock(&self.state);
        state.lost = true;
        state.paused = true;
        drop(state);
        self.changed.notify_all();
    }

    /// The lock is not lost: writes go on.
    pub fn trust(&self) {
        lock(&self.state).paused = false;
    }

    /// Whether writes fail because the lock may be lost.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        lock(&self.state).paused
    }

    /// Whether a brick disconnected.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        lock(&self.state).lost
    }

    /// Refuses further writes and waits until every one that was accepted is answered.
    pub fn drain(&self) {
        let _step = crash::step("drain");
        lock(&self.all.0).remove(&self.descriptor);
        let mut state = lock(&self.state);
        state.closed = true;
        self.changed.notify_all();
        while state.flying > 0 {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        // Of writes that were refused.
        let held = std::mem::take(&mut state.held);
        drop(state);
        drop(held);
    }

    /// What came of it all; call after [`Self::drain`].
    #[must_use]
    pub fn written(&self) -> Written {
        let state = lock(&self.state);
        Written {
            complete: state.acknowledged.contains(0..self.size),
            bytes: state.acknowledged.bytes(),
            error: state.failed,
            lost: state.lost,
            moved_mtime: state.moved_mtime,
        }
    }

    /// Begins a write of `length` bytes at `offset`. Blocks while too much is in flight.
    ///
    /// # Errors
    /// ESTALE after [`Self::drain`], EBADMSG past the file's end, or the errno of the recall's first failed write.
    pub fn begin(self: &Arc<Self>, offset: u64, length: u64) -> Result<Slot<C>, Errno> {
        let end = offset.checked_add(length).ok_or(Errno::EINVAL)?;
        let range = offset..end;
        let mut state = lock(&self.state);
        if range.end > self.size {
            state.failed.get_or_insert(WriteError::TooLong);
        }
        loop {
            if let Some(error) = state.failed {
                return Err(error.errno());
            }
            if state.paused {
                return Err(Errno::EAGAIN);
            }
            if state.closed {
                return Err(Errno::ESTALE);
            }
            // One write always goes, however small the window: it must not wait for itself.
            if state.flying == 0 || state.flying_bytes + length <= self.window {
                break;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.flying += 1;
        state.flying_bytes += length;
        drop(state);
        Ok(Slot {
            tracker: Arc::clone(self),
            range,
        })
    }
}

impl<C> Slot<C> {
    /// The write was answered: `result` is the number of bytes or the errno, `moved_mtime` whether the file's
    /// modification time was another afterwards.
    pub fn end(self, result: Result<u64, Errno>, moved_mtime: bool) {
        let length = self.range.end - self.range.start;
        let mut state = lock(&self.tracker.state);
        state.flying -= 1;
        state.flying_bytes -= length;
        let held = state.held.remove(&self.range.start);
        match result {
            Ok(bytes) if bytes == length => {
                state.acknowledged.insert(self.range.clone());
                state.moved_mtime |= moved_mtime;
            }
            // Written in part: there is no room for the rest.
            Ok(_) => {
                state.failed.get_or_insert(WriteError::Brick(Errno::ENOSPC));
            }
            Err(errno) => {
                state.failed.get_or_insert(WriteError::Brick(errno));
            }
        }
        drop(state);
        drop(held);
        self.tracker.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
