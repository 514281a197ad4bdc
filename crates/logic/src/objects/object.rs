// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One version of one object: which of its bytes are in memory, which are on their way, and who waits for them.
//!
//! Readers of a cold file and its recall meet here, so that nobody fetches what another one fetches already. What there
//! is and what is on its way is a [`Coverage`]; how bytes come is in [`super::get`].

#![forbid(unsafe_code)]

mod receive;

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::ahead::Ahead;
use crate::coverage::{Coverage, Extent, Place};
use crate::errno::{Errno, Failure};
use crate::host::{Buffer as _, Host, Ticket as _};
use crate::objects::chunk::Chunk;
use crate::objects::get::{self, Get, KeepGoing};
use crate::objects::identity::Identity;
use crate::objects::limits::Use;
use crate::objects::source::Source;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use crate::work::busy::Busy;

/// See the module.
#[derive(Debug)]
pub struct Object<H: Host> {
    /// Which it is, and where it comes from.
    pub source: Source<H>,
    /// What an answer shows of the file.
    pub attributes: H::Attributes,
    /// A request failed: the next open creates a new `Object` with fresh metadata.
    stale: AtomicBool,
    state: Mutex<State<H>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<H: Host> {
    coverage: Coverage<Arc<Chunk<H::Buffer>>>,
    reads: Vec<Read<H>>,
    ahead: Ahead,
    /// How many requests failed, and why the last one did.
    failures: u64,
    failed: Option<Errno>,
}

impl<H: Host> Default for State<H> {
    fn default() -> Self {
        Self {
            coverage: Coverage::default(),
            reads: Vec::new(),
            ahead: Ahead::default(),
            failures: 0,
            failed: None,
        }
    }
}

/// A read that waits.
#[derive(Debug)]
struct Read<H: Host> {
    ticket: H::Ticket,
    range: Range<u64>,
}

/// A piece of the object for [`Object::stream`]: where it begins, the chunk, and which of its bytes.
pub type Each<'a, B> = dyn FnMut(u64, &Arc<Chunk<B>>, Range<usize>) -> Result<(), Failure> + 'a;

fn length<H: Host>(chunk: &Chunk<H::Buffer>) -> u64 {
    chunk.buffer().bytes().len() as u64
}

/// Where `at` is in a chunk that begins at `start`.
fn within(start: u64, at: u64) -> usize {
    usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX)
}

impl<H: Host> Object<H> {
    /// An object of which nothing is there yet.
    #[must_use]
    pub fn new(
        this: H::Instance,
        store: Arc<H::Store>,
        identity: Identity,
        attributes: &H::Attributes,
        busy: &Arc<Busy>,
        ending: &Arc<AtomicBool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            source: Source::new(this, store, identity, busy, ending),
            attributes: *attributes,
            stale: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State<H>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is this object, by way of this store, and nothing is wrong with it so far.
    #[must_use]
    pub fn is(&self, identity: &Identity, store: &Arc<H::Store>) -> bool {
        self.source.identity == *identity
            && Arc::ptr_eq(&self.source.store, store)
            && !self.stale.load(Ordering::Acquire)
    }

    /// The part of the object that a read asks for.
    #[must_use]
    pub fn range(&self, ticket: &H::Ticket) -> Range<u64> {
        let size = self.source.identity.size;
        let start = ticket.offset().min(size);
        let end = ticket.offset().saturating_add(ticket.size());
        start..end.min(size).max(start)
    }

    /// Answers a read, as soon as its bytes are there. `read_ahead`: what the reader is likely to want next is fetched
    /// too. Never blocks.
    pub fn read(self: &Arc<Self>, ticket: H::Ticket, read_ahead: bool) {
        let range = self.range(&ticket);
        let mut state = self.lock();
        let ahead = state.ahead.after(&range);
        let mut wanted = range.clone();
        if self.source.is_one_piece() {
            wanted = 0..self.source.identity.size;
        } else if read_ahead
            && !state
                .coverage
                .gaps(&(range.end..self.beyond(&range, ahead / 2)), H::PART)
                .is_empty()
        {
            // Not each time: a request for each step of the reader would be a small one.
            wanted.end = self.beyond(&range, ahead);
        }
        let gaps = if range.is_empty() {
            Vec::new()
        } else {
            state.coverage.gaps(&wanted, H::PART)
        };
        for gap in &gaps {
            state.coverage.request(gap);
        }
        let ready = match state.coverage.extents(&range) {
            Some(extents) => Some((ticket, extents)),
            None => {
                state.reads.push(Read {
                    ticket,
                    range: range.clone(),
                });
                None
            }
        };
        drop(state);
        for gap in gaps {
            // What is asked for is a chunk of its own: nobody waits for more.
            let first = range.end.saturating_sub(gap.start).clamp(1, H::PIECE);
            get::start(self, gap, first);
        }
        if let Some((ticket, extents)) = ready {
            self.answer(ticket, &range, &extents);
        }
    }

    fn beyond(&self, range: &Range<u64>, ahead: u64) -> u64 {
        range
            .end
            .saturating_add(ahead)
            .min(self.source.identity.size)
    }

    fn answer(
        &self,
        ticket: H::Ticket,
        range: &Range<u64>,
        extents: &[Extent<Arc<Chunk<H::Buffer>>>],
    ) {
        let size = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        // A copy: a chunk may be much larger, and who is above us may keep what it gets for long.
        let mut buffer = match H::Buffer::new(self.source.this, size.max(1)) {
            Ok(buffer) => buffer,
            Err(errno) => return ticket.fail(errno),
        };
        for extent in extents {
            let bytes = extent.data.buffer().bytes();
            let start = extent.range.start;
            buffer.push(
                &bytes[within(start, range.start)..within(start, range.end).min(bytes.len())],
            );
        }
        ticket.answer_bytes(
            &buffer,
            range.end >= self.source.identity.size,
            &self.attributes,
        );
    }

    /// Gives `each` the bytes of a range in order, as they come: those that are there, those that others fetch, and those
    /// that it fetches itself, with a connection for `what`. Blocks.
    ///
    /// # Errors
    /// Why they do not come, or what `each` says.
    pub fn stream(
        self: &Arc<Self>,
        range: Range<u64>,
        what: Use,
        keep_going: &KeepGoing<'_>,
        each: &mut Each<'_, H::Buffer>,
    ) -> Result<(), Failure> {
        /// How often somebody who waits for others looks whether he still must.
        const LOOK: Duration = Duration::from_millis(100);
        let mut at = range.start;
        let mut failures = None;
        while at < range.end {
            keep_going()?;
            let mut state = self.lock();
            match state.coverage.place(at, range.end) {
                Place::Present(extent) => {
                    drop(state);
                    failures = None;
                    let start = extent.range.start;
                    let end = range.end.min(extent.range.end);
                    each(at, &extent.data, within(start, at)..within(start, end))?;
                    at = end;
                }
                Place::InFlight { .. } => {
                    failures.get_or_insert(state.failures);
                    drop(
                        self.changed
                            .wait_timeout(state, LOOK)
                            .unwrap_or_else(PoisonError::into_inner),
                    );
                }
                Place::Missing { .. } if failures.is_some_and(|seen| seen != state.failures) => {
                    // It was on its way, and will not come.
                    return Err(Failure::Store(state.failed.unwrap_or(Errno::EIO)));
                }
                Place::Missing { until } => {
                    let until = if self.source.is_one_piece() {
                        self.source.identity.size
                    } else {
                        until
                    };
                    state.coverage.request(&(at..until));
                    drop(state);
                    get::run(
                        self,
                        Get::recall(at..until, what, keep_going),
                        &mut |start, chunk| {
                            let end = range.end.min(start + length::<H>(chunk));
                            each(start, chunk, 0..within(start, end))
                        },
                    )?;
                    at = until;
                }
            }
        }
        Ok(())
    }

    /// Waits until nobody waits for bytes.
    pub(super) fn await_readers(&self, at_most: Duration) {
        let begun = Instant::now();
        let mut state = self.lock();
        while !state.reads.is_empty()
            && let Some(left) = at_most.checked_sub(begun.elapsed())
        {
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Everybody who waits gets `errno`. Returns whether somebody did.
    pub fn refuse(&self, errno: Errno) -> bool {
        let reads = std::mem::take(&mut self.lock().reads);
        let waited = !reads.is_empty();
        for read in reads {
            read.ticket.fail(errno);
        }
        waited
    }

    /// How many reads wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().reads.len()
    }
}
