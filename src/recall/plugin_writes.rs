// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The writes of a plugin's `fop_download`. They are copied and gathered ([`cloudsync_logic::recall::gather`]), so the plugin is
//! answered at once, and may do with its bytes what it likes. If one fails on the bricks, later ones are refused, and in any
//! case the tracker knows.
//!
//! A write outside a running recall is refused: a late one, of a plugin that has returned, never reaches a brick.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};

use crate::host::buffer::How;
use crate::host::fd::Fd;
use crate::host::write::PluginWrite;
use crate::host::xlator::Xlator;
use crate::objects::{Chunk, Gluster};
use crate::recall::tracker::Tracker;
use cloudsync_logic::errno::Errno;
use cloudsync_logic::recall::gather::Gather;

/// Those of the running downloads, by the address of the descriptor. A download holds a reference to its descriptor, so no
/// other can have the same address.
static OPEN: LazyLock<Mutex<HashMap<usize, Arc<PluginWrites>>>> = LazyLock::new(Mutex::default);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writes of one download.
#[derive(Debug)]
pub struct PluginWrites {
    this: Xlator,
    fd: Fd,
    tracker: Arc<Tracker>,
    /// `None` once the download has ended.
    gather: Mutex<Option<Gather<Gluster>>>,
    /// The writes that were not answered yet. The plugin's frame lives until they are.
    unanswered: Mutex<usize>,
    answered: Condvar,
}

impl PluginWrites {
    /// Starts accepting writes to `fd`.
    #[must_use]
    pub fn open(this: Xlator, fd: &Fd, tracker: &Arc<Tracker>) -> Arc<Self> {
        let writes = Arc::new(Self {
            this,
            fd: fd.clone(),
            tracker: Arc::clone(tracker),
            gather: Mutex::new(Some(Gather::new(this, tracker.size()))),
            unanswered: Mutex::new(0),
            answered: Condvar::new(),
        });
        lock(&OPEN).insert(fd.address(), Arc::clone(&writes));
        writes
    }

    /// Accepts no more, and sends what was gathered. Blocks until the tracker admits that, and all writes are answered.
    pub fn close(&self) {
        lock(&OPEN).remove(&self.fd.address());
        let gather = lock(&self.gather).take();
        let last = gather.and_then(|mut gather| gather.take());
        // If it is refused, the tracker misses these bytes.
        let _missed = last.map(|(at, chunk)| self.send(at, chunk));
        let mut unanswered = lock(&self.unanswered);
        while *unanswered > 0 {
            unanswered = self
                .answered
                .wait(unanswered)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Returns the number of bytes.
    fn write(&self, offset: u64, pieces: &[&[u8]]) -> Result<u64, Errno> {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        self.tracker.admit(offset, length)?;
        let mut ready = Vec::new();
        {
            let mut gather = lock(&self.gather);
            let gather = gather.as_mut().ok_or(Errno::ESTALE)?;
            let mut at = offset;
            for piece in pieces {
                gather.add(at, piece, &mut ready)?;
                at += piece.len() as u64;
            }
        }
        let mut ready = ready.into_iter();
        ready.try_for_each(|(at, chunk)| self.send(at, chunk))?;
        Ok(length)
    }

    fn send(&self, at: u64, chunk: Chunk) -> Result<(), Errno> {
        // As the plugin's own writes were: not with the bricks' lowest priority.
        let how = How {
            urgent: true,
            accesses: false,
        };
        let chunk = Arc::new(chunk);
        let buffer = chunk.buffer();
        let length = buffer.bytes().len();
        let slot = self.tracker.begin(at, length as u64)?;
        self.tracker.hold(at, &chunk);
        let _entered = self.this.enter();
        buffer.write(self.this, &self.fd, 0..length, at, how, Box::new(slot))
    }
}

/// A write that is being answered, until it is dropped.
struct Unanswered(Arc<PluginWrites>);

impl Unanswered {
    /// That of a running download.
    fn of(descriptor: usize) -> Option<Self> {
        let open = lock(&OPEN);
        let writes = open.get(&descriptor)?;
        // Under the lock, so that `close` sees it.
        *lock(&writes.unanswered) += 1;
        Some(Self(Arc::clone(writes)))
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        *lock(&self.0.unanswered) -= 1;
        self.0.answered.notify_all();
    }
}

/// A write, its answer, and the download that waits for that.
type Answer = (PluginWrite, Result<u64, Errno>, Option<Unanswered>);

thread_local! {
    /// The answers that wait for one that this thread is giving: in its callback, a plugin may write again, and so on.
    static ANSWERS: RefCell<Option<VecDeque<Answer>>> = const { RefCell::new(None) };
}

/// Answers a write now, or, in the callback of another, after that.
fn answer(answer: Answer) {
    let is_first = ANSWERS.with_borrow_mut(|answers| {
        let is_first = answers.is_none();
        answers.get_or_insert_default().push_back(answer);
        is_first
    });
    if !is_first {
        return;
    }
    let next = || ANSWERS.with_borrow_mut(|answers| answers.as_mut().and_then(VecDeque::pop_front));
    while let Some((write, result, unanswered)) = next() {
        write.answer(result);
        drop(unanswered);
    }
    ANSWERS.with_borrow_mut(|answers| *answers = None);
}

/// A plugin writes `pieces` to the descriptor at this address. Outside a download, the answer is ESTALE, otherwise its errors
/// are those of [`Tracker::begin`]. Blocks while the recall's window is full.
pub fn write(write: PluginWrite, descriptor: usize, offset: u64, pieces: &[&[u8]]) {
    let unanswered = Unanswered::of(descriptor);
    let result = match &unanswered {
        Some(writes) => writes.0.write(offset, pieces),
        None => Err(Errno::ESTALE),
    };
    answer((write, result, unanswered));
}
