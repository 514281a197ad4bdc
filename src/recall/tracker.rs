// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a plugin writes, counted: bytes in flight are bounded, acknowledged ranges and the first error remembered.
//!
//! The plugin winds its writes to a child that is ours (shim/store.c), so one that fires writes and never looks back
//! is as safe as one that waits. A write that is not part of a running recall is refused: a late one, from a
//! plugin that returned too early, can never reach a brick.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::ops::Range;

use crate::host::attributes::Attributes;
use crate::host::beside::Beside;
use crate::host::write;
use crate::objects::chunk::Chunk;
use crate::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use cloudsync_logic::crash;
use cloudsync_logic::errno::Errno;
use cloudsync_logic::ranges::Ranges;

/// Recalls that accept writes, by the address of their descriptor. A recall holds a reference to its descriptor
/// while it is listed, so no other descriptor can have the address.
static OPEN: LazyLock<Mutex<HashMap<usize, Arc<Tracker>>>> = LazyLock::new(Mutex::default);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writes of one recall.
#[derive(Debug)]
pub struct Tracker {
    descriptor: usize,
    size: u64,
    window: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Reads of applications that are on the bricks at this moment.
    readers: usize,
    /// No more of them.
    readers_end: bool,
    flying_bytes: u64,
    flying: usize,
    /// Memory that writes in flight are made of, by their offset.
    held: HashMap<u64, Arc<Chunk>>,
    acknowledged: Ranges,
    failed: Option<WriteError>,
    moved_mtime: bool,
    /// A brick disconnected.
    lost: bool,
    closed: bool,
}

/// Why a recall's writes failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The bricks refused one.
    Brick(Errno),
    /// The plugin wrote past the file's end.
    TooLong,
    /// The recall was cancelled.
    Cancelled,
    /// A brick disconnected.
    Lost,
}

impl WriteError {
    const fn errno(self) -> Errno {
        match self {
            Self::Brick(errno) => errno,
            Self::TooLong => Errno::EBADMSG,
            Self::Cancelled => Errno::ECANCELED,
            Self::Lost => Errno::ENOTCONN,
        }
    }
}

/// What came of a recall's writes.
#[derive(Debug)]
pub struct Written {
    /// Whether every byte of the file was acknowledged.
    pub complete: bool,
    /// How many bytes were.
    pub bytes: u64,
    /// That a brick disconnected, or else the first error.
    pub error: Option<WriteError>,
    /// Whether writing moved the file's modification time (it does not where the volume keeps its own times).
    pub moved_mtime: bool,
}

/// A read that is on the bricks while the file is recalled. As long as there is one, the recall cuts nothing.
#[derive(Debug)]
pub struct Reading {
    tracker: Arc<Tracker>,
    attributes: Attributes,
}

impl Beside for Reading {
    fn attributes(&self) -> Attributes {
        self.attributes
    }

    fn is_sure(&self) -> bool {
        !self.tracker.is_lost()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        lock(&self.tracker.state).readers -= 1;
        self.tracker.changed.notify_all();
    }
}

/// One write in flight.
#[derive(Debug)]
pub struct Slot {
    tracker: Arc<Tracker>,
    range: Range<u64>,
}

impl Tracker {
    /// Accepts writes to `descriptor` (its address) of a file of `size` bytes from now on, with at most `window`
    /// bytes in flight.
    #[must_use]
    pub fn open(descriptor: usize, size: u64, window: u64) -> Arc<Self> {
        let tracker = Arc::new(Self {
            descriptor,
            size,
            window,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        lock(&OPEN).insert(descriptor, Arc::clone(&tracker));
        tracker
    }

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
    pub fn hold(&self, offset: u64, chunk: &Arc<Chunk>) {
        lock(&self.state).held.insert(offset, Arc::clone(chunk));
    }

    /// A read of these bytes may go to the bricks: they have them. Not one of nothing, behind the end: a brick would say where
    /// its end is now.
    #[must_use]
    pub fn read(self: &Arc<Self>, range: Range<u64>, attributes: &Attributes) -> Option<Reading> {
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

    /// A brick disconnected: the lock may be lost, and what was written. Every further write fails, and nobody reads from
    /// the bricks beside the recall any more.
    pub fn lose(&self) {
        lock(&self.state).lost = true;
        self.changed.notify_all();
    }

    /// Whether a brick disconnected.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        lock(&self.state).lost
    }

    /// Refuses further writes and waits until every one that was accepted is answered.
    pub fn drain(&self) {
        let _step = crash::step("drain");
        lock(&OPEN).remove(&self.descriptor);
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
            error: if state.lost {
                Some(WriteError::Lost)
            } else {
                state.failed
            },
            moved_mtime: state.moved_mtime,
        }
    }

    /// Begins a write of `length` bytes at `offset`. Blocks while too much is in flight.
    ///
    /// # Errors
    /// ESTALE after [`Self::drain`], EBADMSG past the file's end, or the errno of the recall's first failed write.
    pub fn begin(self: &Arc<Self>, offset: u64, length: u64) -> Result<Slot, Errno> {
        let end = offset.checked_add(length).ok_or(Errno::EINVAL)?;
        let range = offset..end;
        let mut state = lock(&self.state);
        if range.end > self.size {
            state.failed.get_or_insert(WriteError::TooLong);
        }
        loop {
            if state.lost {
                state.failed.get_or_insert(WriteError::Lost);
            }
            if let Some(error) = state.failed {
                return Err(error.errno());
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

/// A plugin writes `length` bytes at `offset` to the descriptor at this address. Blocks while too much is in flight.
///
/// # Errors
/// ESTALE outside a recall, EBADMSG past the file's end, or the errno of the recall's first failed write.
pub fn begin(descriptor: usize, offset: u64, length: u64) -> Result<Slot, Errno> {
    let tracker = lock(&OPEN)
        .get(&descriptor)
        .map(Arc::clone)
        .ok_or(Errno::ESTALE)?;
    tracker.begin(offset, length)
}

impl write::InFlight for Slot {
    fn end(self: Box<Self>, result: Result<u64, Errno>, moved_mtime: bool) {
        (*self).end(result, moved_mtime);
    }
}

impl Slot {
    /// The write was answered: see [`write::InFlight::end`].
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
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn only_acknowledged_bytes_make_a_file_whole() {
        let tracker = Tracker::open(0x1000, 100, 1000);
        let first = begin(0x1000, 0, 60).unwrap();
        let second = begin(0x1000, 60, 40).unwrap();
        first.end(Ok(60), false);
        assert!(!tracker.written().complete);
        second.end(Ok(40), true);
        tracker.drain();
        let written = tracker.written();
        assert!(written.complete && written.moved_mtime);
        assert_eq!((written.bytes, written.error), (100, None));
    }

    #[test]
    fn late_and_foreign_writes_are_refused() {
        assert_eq!(begin(0x2000, 0, 1).unwrap_err(), Errno::ESTALE);
        let tracker = Tracker::open(0x2000, 10, 10);
        tracker.drain();
        assert_eq!(begin(0x2000, 0, 1).unwrap_err(), Errno::ESTALE);
    }

    #[test]
    fn a_write_past_the_end_fails_the_recall() {
        let tracker = Tracker::open(0x3000, 10, 100);
        assert_eq!(begin(0x3000, 5, 6).unwrap_err(), Errno::EBADMSG);
        assert_eq!(
            begin(0x3000, 0, 5).unwrap_err(),
            Errno::EBADMSG,
            "nothing is written after it"
        );
        tracker.drain();
        assert_eq!(tracker.written().error, Some(WriteError::TooLong));
    }

    #[test]
    fn the_first_error_stays_and_a_short_write_is_one() {
        let tracker = Tracker::open(0x4000, 10, 100);
        let (one, two) = (begin(0x4000, 0, 5).unwrap(), begin(0x4000, 5, 5).unwrap());
        one.end(Err(Errno::new(libc::ENOSPC)), false);
        two.end(Ok(3), false);
        tracker.drain();
        let written = tracker.written();
        assert_eq!(
            written.error,
            Some(WriteError::Brick(Errno::new(libc::ENOSPC)))
        );
        assert_eq!(written.bytes, 0);
    }

    #[test]
    fn a_full_window_holds_the_writer_until_an_answer_comes() {
        let tracker = Tracker::open(0x5000, 100, 10);
        let first = begin(0x5000, 0, 10).unwrap();
        let (said, heard) = mpsc::channel();
        let writer = thread::spawn(move || {
            let slot = begin(0x5000, 10, 10).unwrap();
            said.send(()).unwrap();
            slot.end(Ok(10), false);
        });
        assert!(
            heard.recv_timeout(Duration::from_millis(50)).is_err(),
            "the window is full"
        );
        first.end(Ok(10), false);
        heard.recv_timeout(Duration::from_secs(20)).unwrap();
        writer.join().unwrap();
        tracker.drain();
        assert_eq!(tracker.written().bytes, 20);
    }

    #[test]
    fn only_what_is_there_is_read_and_whoever_cuts_waits_for_the_reader() {
        let tracker = Tracker::open(0x8000, 10, 10);
        let attributes = Attributes::blank();
        assert!(tracker.read(0..1, &attributes).is_none());
        begin(0x8000, 0, 5).unwrap().end(Ok(5), false);
        assert!(tracker.read(4..6, &attributes).is_none());
        assert!(tracker.read(5..5, &attributes).is_none());
        let reading = tracker.read(0..5, &attributes).unwrap();
        let (said, heard) = mpsc::channel();
        let other = Arc::clone(&tracker);
        let cutter = thread::spawn(move || {
            other.end_reading();
            said.send(()).unwrap();
        });
        let early = heard.recv_timeout(Duration::from_millis(50));
        assert!(early.is_err(), "a read is on the bricks");
        drop(reading);
        heard.recv_timeout(Duration::from_secs(20)).unwrap();
        cutter.join().unwrap();
        assert!(tracker.read(0..5, &attributes).is_none());
        tracker.drain();
    }

    #[test]
    fn nothing_is_read_from_the_bricks_while_the_lock_may_be_lost() {
        let tracker = Tracker::open(0x9000, 10, 10);
        let attributes = Attributes::blank();
        begin(0x9000, 0, 5).unwrap().end(Ok(5), false);
        let reading = tracker.read(0..5, &attributes).unwrap();
        assert!(reading.is_sure());
        tracker.lose();
        assert!(tracker.read(0..5, &attributes).is_none());
        assert!(!reading.is_sure());
        drop(reading);
        tracker.drain();
    }

    #[test]
    fn nothing_is_written_after_a_brick_disconnected() {
        let tracker = Tracker::open(0x7000, 100, 10);
        let first = begin(0x7000, 0, 10).unwrap();
        let writer = thread::spawn(|| begin(0x7000, 10, 10).map(drop).unwrap_err());
        tracker.lose();
        assert_eq!(writer.join().unwrap(), Errno::ENOTCONN, "it is woken");
        first.end(Ok(10), false);
        assert_eq!(begin(0x7000, 10, 10).unwrap_err(), Errno::ENOTCONN);
        tracker.drain();
        assert_eq!(tracker.written().error, Some(WriteError::Lost));
    }

    #[test]
    fn cancelling_wakes_a_held_writer() {
        let tracker = Tracker::open(0x6000, 100, 10);
        let first = begin(0x6000, 0, 10).unwrap();
        let writer = thread::spawn(|| begin(0x6000, 10, 10).map(drop).unwrap_err());
        tracker.cancel();
        assert_eq!(writer.join().unwrap(), Errno::ECANCELED);
        first.end(Ok(10), false);
        tracker.drain();
    }
}
