// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tracks the writes of recalls: limits the bytes in flight, and records the acknowledged ranges and the first error.
//!
//! A plugin's writes pass through a translator of ours (shim/store.c), so a plugin that ignores their results is as
//! safe as one that waits for them. A write outside a running recall is refused, so a late one, from a plugin that
//! returned too early, never reaches a brick.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::ops::Range;

use crate::crash;
use crate::errno::Errno;
use crate::ranges::Ranges;
use crate::recall::written::{WriteError, Written};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn range(offset: u64, length: u64) -> Result<Range<u64>, Errno> {
    let end = offset.checked_add(length).ok_or(Errno::EINVAL)?;
    Ok(offset..end)
}

/// Tracks the writes of one recall. `C`: the chunks that they are made from.
#[derive(Debug)]
pub struct Tracker<C> {
    size: u64,
    window: u64,
    state: Mutex<State<C>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<C> {
    /// The number of applications' reads in flight to the bricks.
    readers: usize,
    /// No more reads are admitted.
    reading_ended: bool,
    bytes_in_flight: u64,
    /// The number of writes in flight.
    in_flight: usize,
    /// The chunks of the writes in flight, by offset.
    held: HashMap<u64, Arc<C>>,
    acknowledged: Ranges,
    failed: Option<WriteError>,
    moved_mtime: bool,
    /// A brick disconnected.
    lost: bool,
    /// Writes fail, because the lock may be lost.
    paused: bool,
    closed: bool,
}

impl<C> Default for State<C> {
    fn default() -> Self {
        Self {
            readers: 0,
            reading_ended: false,
            bytes_in_flight: 0,
            in_flight: 0,
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

impl<C> State<C> {
    /// Checks whether a write may begin. `too_long`: it ends past the file's end.
    fn admit(&mut self, too_long: bool) -> Result<(), Errno> {
        if too_long {
            self.failed.get_or_insert(WriteError::TooLong);
        }
        if let Some(error) = self.failed {
            return Err(error.errno());
        }
        match (self.paused, self.closed) {
            (true, _) => Err(Errno::EAGAIN),
            (false, true) => Err(Errno::ESTALE),
            (false, false) => Ok(()),
        }
    }
}

/// A read in flight to the bricks during the recall. The recall does not truncate the file while there is one.
#[derive(Debug)]
pub struct Reading<C, A> {
    tracker: Arc<Tracker<C>>,
    attributes: A,
}

impl<C, A: Copy> Reading<C, A> {
    /// The file's attributes.
    #[must_use]
    pub const fn attributes(&self) -> A {
        self.attributes
    }

    /// Whether no brick has disconnected, so that the recall still has its lock.
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

/// A write in flight.
#[derive(Debug)]
pub struct Slot<C> {
    tracker: Arc<Tracker<C>>,
    range: Range<u64>,
}

impl<C> Tracker<C> {
    /// Starts accepting writes to a file of `size` bytes, with at most `window` bytes in flight.
    #[must_use]
    pub fn open(size: u64, window: u64) -> Arc<Self> {
        Arc::new(Self {
            size,
            window,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// The file's size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Makes further writes fail, including those that wait for the window.
    pub fn cancel(&self) {
        lock(&self.state)
            .failed
            .get_or_insert(WriteError::Cancelled);
        self.changed.notify_all();
    }

    /// Holds the chunk of the write at `offset`, which is about to begin, until it is answered.
    pub fn hold(&self, offset: u64, chunk: &Arc<C>) {
        lock(&self.state).held.insert(offset, Arc::clone(chunk));
    }

    /// Counts ranges as acknowledged that need no write: zeros, in a file that has only zeros there.
    pub fn need_no_write(&self, ranges: &[Range<u64>]) {
        let mut state = lock(&self.state);
        for range in ranges {
            state.acknowledged.insert(range.clone());
        }
    }

    /// Admits a read of `range` to the bricks, if they have all of it. An empty range, past the file's end, is not
    /// admitted: the answer would show the size that the file has on the brick at the moment.
    #[must_use]
    pub fn read<A: Copy>(
        self: &Arc<Self>,
        range: Range<u64>,
        attributes: &A,
    ) -> Option<Reading<C, A>> {
        let mut state = lock(&self.state);
        if state.reading_ended
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

    /// Admits no more reads, and waits until those in flight are answered.
    pub fn end_reading(&self) {
        let mut state = lock(&self.state);
        state.reading_ended = true;
        while state.readers > 0 {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A brick disconnected: the lock and acknowledged bytes may be lost. Writes fail with EAGAIN until
    /// [`Self::trust`], and no more reads are admitted.
    pub fn lose(&self) {
        let mut state = lock(&self.state);
        state.lost = true;
        state.paused = true;
        drop(state);
        self.changed.notify_all();
    }

    /// The lock is not lost: accepts writes again.
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

    /// Refuses further writes, and waits until all accepted ones are answered.
    pub fn drain(&self) {
        let _step = crash::step("drain");
        let mut state = lock(&self.state);
        state.closed = true;
        self.changed.notify_all();
        while state.in_flight > 0 {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        // Chunks of refused writes.
        let held = std::mem::take(&mut state.held);
        drop(state);
        drop(held);
    }

    /// The outcome of the writes. Final after [`Self::drain`].
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

    /// Checks whether a write of `length` bytes at `offset` may begin.
    ///
    /// # Errors
    /// Those of [`Self::begin`].
    pub fn admit(&self, offset: u64, length: u64) -> Result<(), Errno> {
        let range = range(offset, length)?;
        lock(&self.state).admit(range.end > self.size)
    }

    /// Begins a write of `length` bytes at `offset`. Blocks while the window is full.
    ///
    /// # Errors
    /// ESTALE after [`Self::drain`], EBADMSG past the file's end, EAGAIN after [`Self::lose`], or the errno of the
    /// recall's first failed write.
    pub fn begin(self: &Arc<Self>, offset: u64, length: u64) -> Result<Slot<C>, Errno> {
        let range = range(offset, length)?;
        let mut state = lock(&self.state);
        loop {
            state.admit(range.end > self.size)?;
            // Always admit one write, so that it cannot deadlock on itself.
            if state.in_flight == 0 || state.bytes_in_flight + length <= self.window {
                break;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.in_flight += 1;
        state.bytes_in_flight += length;
        drop(state);
        Ok(Slot {
            tracker: Arc::clone(self),
            range,
        })
    }
}

impl<C> Slot<C> {
    /// The write was answered. `result`: the number of bytes written, or the errno. `moved_mtime`: whether the write
    /// changed the file's mtime.
    pub fn end(self, result: Result<u64, Errno>, moved_mtime: bool) {
        let length = self.range.end - self.range.start;
        let mut state = lock(&self.tracker.state);
        state.in_flight -= 1;
        state.bytes_in_flight -= length;
        let held = state.held.remove(&self.range.start);
        match result {
            Ok(bytes) if bytes == length => {
                state.acknowledged.insert(self.range.clone());
                state.moved_mtime |= moved_mtime;
            }
            // A short write: there is no space for the rest.
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
