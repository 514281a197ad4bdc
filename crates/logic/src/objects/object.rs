// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One version of one object: its bytes in memory, its requests in flight, and the waiting reads.
//!
//! The readers of a cold file and its recall share the object, so that nothing is fetched twice. A [`Coverage`] records
//! which bytes are present or in flight; [`super::get`] fetches them.

#![forbid(unsafe_code)]

mod receive;

use cloudsync_format::jobs::Waiter;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::ahead::Ahead;
use crate::allowance::Allowance;
use crate::coverage::{Coverage, Extent, Place};
use crate::errno::{Errno, Failure};
use crate::host::{Buffer as _, Host, Ticket as _};
use crate::labels::Looks;
use crate::objects::chunk::Chunk;
use crate::objects::depths::DEPTHS;
use crate::objects::get::{self, Get, KeepGoing};
use crate::objects::identity::Identity;
use crate::objects::limits::{LIMITS, Use};
use crate::objects::source::Source;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use crate::work::busy::Busy;

/// One version of one object.
#[derive(Debug)]
pub struct Object<H: Host> {
    /// Its identity, and the store that has it.
    pub source: Source<H>,
    /// The file's attributes, for the answers to reads.
    pub attributes: H::Attributes,
    /// A request failed: the next open creates a new `Object` with fresh metadata.
    stale: AtomicBool,
    /// The looks at the label of the stub whose object it is.
    looks: AtomicU64,
    state: Mutex<State<H>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<H: Host> {
    coverage: Coverage<Arc<Chunk<H::Buffer>>>,
    reads: Vec<Read<H>>,
    ahead: Ahead,
    /// The number of failed requests.
    failures: u64,
    /// The errno of the last one.
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

/// A waiting read.
#[derive(Debug)]
struct Read<H: Host> {
    ticket: H::Ticket,
    range: Range<u64>,
    goes_on: bool,
}

/// Called by [`Object::stream`] with the offset of the next bytes, the chunk that holds them, and their range in the
/// chunk.
pub type Each<'a, B> = dyn FnMut(u64, &Arc<Chunk<B>>, Range<usize>) -> Result<(), Failure> + 'a;

fn length<H: Host>(chunk: &Chunk<H::Buffer>) -> u64 {
    chunk.buffer().bytes().len() as u64
}

/// The index of the object's offset `at` in a chunk that begins at `start`.
fn within(start: u64, at: u64) -> usize {
    usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX)
}

impl<H: Host> Object<H> {
    /// Creates an object without bytes.
    #[must_use]
    pub fn new(
        this: H::Instance,
        store: Arc<H::Store>,
        identity: Identity,
        attributes: &H::Attributes,
        busy: &Arc<Busy>,
        allowance: &Arc<Allowance>,
        ending: &Arc<AtomicBool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            source: Source::new(this, store, identity, busy, allowance, ending),
            attributes: *attributes,
            stale: AtomicBool::new(false),
            looks: AtomicU64::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State<H>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is this object in this store, and none of its requests has failed.
    #[must_use]
    pub fn matches(&self, identity: &Identity, store: &Arc<H::Store>) -> bool {
        self.source.identity == *identity
            && Arc::ptr_eq(&self.source.store, store)
            && !self.stale.load(Ordering::Acquire)
    }

    /// What is remembered of the stub's label: nothing if a request has failed, because the object may no longer be the
    /// file's.
    #[must_use]
    pub fn looks(&self) -> Looks {
        if self.stale.load(Ordering::Acquire) {
            return Looks::default();
        }
        Looks::from_number(self.looks.load(Ordering::Acquire))
    }

    /// Remembers looks at the stub's label.
    pub fn remember(&self, looks: Looks) {
        self.looks.store(looks.number(), Ordering::Release);
    }

    /// The part of the object that a read requests.
    #[must_use]
    pub fn range(&self, ticket: &H::Ticket) -> Range<u64> {
        let size = self.source.identity.size;
        let start = ticket.offset().min(size);
        let end = ticket.offset().saturating_add(ticket.size());
        start..end.min(size).max(start)
    }

    /// Answers a read as soon as its bytes are in memory. `read_ahead`: also fetches what the reader is likely to read
    /// next. Never blocks.
    pub fn read(self: &Arc<Self>, ticket: H::Ticket, read_ahead: bool) {
        let range = self.range(&ticket);
        let mut state = self.lock();
        let present = state.coverage.extents(&range);
        let waits = present.is_none().then(|| DEPTHS.growth());
        let ahead = state.ahead.after(&range, waits, LIMITS.read_ahead());
        // Then the whole of a chunk is read soon.
        let goes_on = ahead > 0;
        // Extending the read-ahead at each read would make small requests; of a long one, half would be too much.
        let soon = (ahead / 2).max(ahead.saturating_sub(2 * H::PART));
        let (mut wanted, mut most) = (range.clone(), H::PART);
        if self.source.is_one_piece() {
            wanted = 0..self.source.identity.size;
        } else if read_ahead
            && !state
                .coverage
                .gaps(&(range.end..self.ahead_end(&range, soon)), H::PART)
                .is_empty()
        {
            // Smaller requests than those of a recall, so that more of them are in flight.
            most = H::PART / 2;
            wanted.end = self.ahead_end(&range, ahead);
        }
        let gaps = if range.is_empty() {
            Vec::new()
        } else {
            state.coverage.gaps(&wanted, most)
        };
        for gap in &gaps {
            state.coverage.request(gap);
        }
        let ready = match present {
            Some(extents) => Some((ticket, extents)),
            None => {
                state.reads.push(Read {
                    ticket,
                    range: range.clone(),
                    goes_on,
                });
                None
            }
        };
        drop(state);
        for gap in gaps {
            // The requested bytes get a chunk of their own, so that the read does not wait for the read-ahead.
            let first = match range.end.saturating_sub(gap.start) {
                0 => H::PIECE,
                requested => requested.min(H::PIECE),
            };
            get::start(self, gap, first);
        }
        if let Some((ticket, extents)) = ready {
            self.answer(ticket, &range, &extents, goes_on);
        }
    }

    /// Answers a read if its bytes are in memory; otherwise returns it. Never blocks.
    ///
    /// # Errors
    /// The read.
    pub fn read_present(&self, ticket: H::Ticket) -> Result<(), H::Ticket> {
        let range = self.range(&ticket);
        let mut state = self.lock();
        let Some(extents) = state.coverage.extents(&range) else {
            return Err(ticket);
        };
        let goes_on = state.ahead.after(&range, None, LIMITS.read_ahead()) > 0;
        drop(state);
        self.answer(ticket, &range, &extents, goes_on);
        Ok(())
    }

    fn ahead_end(&self, range: &Range<u64>, ahead: u64) -> u64 {
        range
            .end
            .saturating_add(ahead)
            .min(self.source.identity.size)
    }

    /// Answers a read. `goes_on`: the rest of the last extent will be read, too.
    fn answer(
        &self,
        ticket: H::Ticket,
        range: &Range<u64>,
        extents: &[Extent<Arc<Chunk<H::Buffer>>>],
        goes_on: bool,
    ) {
        let size = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let at_end = range.end >= self.source.identity.size;
        let part = |extent: &Extent<Arc<Chunk<H::Buffer>>>| {
            let start = extent.range.start;
            let end = within(start, range.end).min(extent.data.buffer().bytes().len());
            within(start, range.start)..end
        };
        if let [extent] = extents
            && (goes_on || size >= extent.data.buffer().bytes().len() / 2)
        {
            let buffer = extent.data.buffer();
            return ticket.answer_bytes(buffer, part(extent), at_end, &self.attributes);
        }
        // A copy: a chunk may be much larger, and translators above us may hold the answer's buffer for long.
        let mut buffer = match H::Buffer::new(self.source.this, size.max(1)) {
            Ok(buffer) => buffer,
            Err(errno) => return ticket.fail(errno),
        };
        for extent in extents {
            buffer.push(&extent.data.buffer().bytes()[part(extent)]);
        }
        let all = 0..buffer.bytes().len();
        ticket.answer_bytes(&buffer, all, at_end, &self.attributes);
    }

    /// Passes the bytes of a range to `each`, in order: those in memory, those that other requests fetch, and the
    /// missing ones, which it fetches itself with a connection for `purpose`. Blocks.
    ///
    /// # Errors
    /// Why a request failed, or the error of `each`.
    pub fn stream(
        self: &Arc<Self>,
        range: Range<u64>,
        purpose: Use,
        keep_going: &KeepGoing<'_>,
        each: &mut Each<'_, H::Buffer>,
    ) -> Result<(), Failure> {
        /// The interval at which `keep_going` is checked while another request is in flight.
        const POLL: Duration = Duration::from_millis(100);
        let mut at = range.start;
        let mut failures = None;
        while at < range.end {
            keep_going()?;
            let mut state = self.lock();
            match state.coverage.place(at, range.end) {
                Place::Present(extent) => {
                    let extent = extent.clone();
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
                            .wait_timeout(state, POLL)
                            .unwrap_or_else(PoisonError::into_inner),
                    );
                }
                Place::Missing { .. } if failures.is_some_and(|seen| seen != state.failures) => {
                    // It was in flight, and that request failed.
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
                        Get::recall(at..until, purpose, keep_going),
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

    /// Waits until no read is waiting.
    pub(super) fn await_readers(&self, at_most: Duration) {
        let started = Instant::now();
        let mut state = self.lock();
        while !state.reads.is_empty()
            && let Some(left) = at_most.checked_sub(started.elapsed())
        {
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Fails all waiting reads. Returns whether there were any.
    pub fn fail_reads(&self, errno: Errno) -> bool {
        let reads = std::mem::take(&mut self.lock().reads);
        let waited = !reads.is_empty();
        for read in reads {
            read.ticket.fail(errno);
        }
        waited
    }

    /// What waits; nothing if that cannot be determined without blocking.
    #[must_use]
    pub fn waiters(&self) -> Vec<Waiter> {
        let state = self.state.try_lock().ok();
        let reads = state.iter().flat_map(|state| state.reads.iter());
        reads.map(|read| read.ticket.who()).collect()
    }

    /// The number of waiting reads.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().reads.len()
    }
}
