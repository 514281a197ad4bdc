// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One request for bytes of an object: copies the bytes that the plugin delivers into chunks for readers and bricks.

#![forbid(unsafe_code)]

use std::marker::PhantomData;
use std::ops::Range;
use std::time::Instant;

use crate::budget::Reservation;
use crate::errno::{Errno, Failure};
use crate::host::{Buffer as _, Host, Pool};
use crate::objects::chunk::Chunk;
use crate::objects::depths::DEPTHS;
use crate::objects::limits::{Connection, LIMITS, Lease, Use};
use crate::objects::source::{Source, compare};
use crate::store::{self, Part, Sink, Store as _};
use crate::sync::Arc;

/// The maximum number of threads for requests that readers wait for. Each costs the process some 400 KiB: its stack,
/// and what a request allocates.
const THREADS: usize = 48;

/// Receives the bytes of a request: the object, which keeps them and answers its readers.
pub trait Receiver: Send + Sync + 'static {
    /// The host that provides the buffers.
    type Host: Host;

    /// The object's source.
    fn source(&self) -> &Source<Self::Host>;

    /// A chunk of the requested bytes has arrived. Answers the reads that now have all their bytes.
    fn received(self: &Arc<Self>, at: u64, chunk: Arc<Chunk<BufferOf<Self>>>);

    /// The rest of the request failed. The reads that wait for it fail with `errno`; with `None` they request their
    /// bytes again.
    fn failed(self: &Arc<Self>, range: &Range<u64>, errno: Option<Errno>);
}

/// The buffers of a receiver's host.
type BufferOf<R> = <<R as Receiver>::Host as Host>::Buffer;

/// Called with the offset of each chunk and the chunk. `B`: the chunk's buffer.
pub type OnChunk<'a, B> = dyn FnMut(u64, &Arc<Chunk<B>>) -> Result<(), Failure> + 'a;

/// Returns an error once the bytes are no longer wanted.
pub type KeepGoing<'a> = dyn Fn() -> Result<(), Failure> + Sync + 'a;

/// The parameters of a request.
pub struct Get<'a> {
    range: Range<u64>,
    /// The size of the first chunk, if it is smaller than the others ([`Host::PIECE`]).
    first: Option<u64>,
    purpose: Use,
    keep_going: &'a KeepGoing<'a>,
}

impl std::fmt::Debug for Get<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Get({:?}, {:?})", self.range, self.purpose)
    }
}

impl<'a> Get<'a> {
    /// A request by a recall.
    pub fn recall(range: Range<u64>, purpose: Use, keep_going: &'a KeepGoing<'a>) -> Self {
        Self {
            range,
            first: None,
            purpose,
            keep_going,
        }
    }
}

/// Fetches a range that the receiver has recorded as in flight, on a thread of its own. Never blocks.
pub fn start<R: Receiver>(object: &Arc<R>, range: Range<u64>, first: u64) {
    let task = {
        let (object, range) = (Arc::clone(object), range.clone());
        let running = object.source().busy.begin();
        move || {
            let entered = R::Host::enter(object.source().this);
            let get = Get {
                range,
                first: Some(first),
                purpose: Use::Read,
                keep_going: &|| match object.source().is_ending() {
                    true => Err(Failure::Cancelled),
                    false => Ok(()),
                },
            };
            // A failure has been reported to the object.
            let _reported = run(&object, get, &mut |_, _| Ok(()));
            drop(object);
            drop(entered);
            drop(running);
        }
    };
    if R::Host::run(Pool::Reads, THREADS, task).is_err() {
        object.failed(&range, Some(Errno::ENOMEM));
    }
}

/// Fetches a range that the receiver has recorded as in flight. Passes chunks and a failure to the receiver, and the
/// chunks to `on_chunk` as well. Blocks.
///
/// # Errors
/// Why the request failed, or the error of `on_chunk`.
pub fn run<R: Receiver>(
    object: &Arc<R>,
    get: Get<'_>,
    on_chunk: &mut OnChunk<'_, BufferOf<R>>,
) -> Result<(), Failure> {
    let mut pending = Pending {
        object,
        left: get.range.clone(),
        errno: Some(Errno::EIO),
    };
    let done = R::Host::catch(Err(Failure::Bug), || {
        fetch(object, &get, &mut pending, on_chunk)
    });
    if let Err(failure) = &done {
        // An abandoned recall does not mean that the object is bad, so its readers request their bytes again. Not after
        // a lost lock: the object may no longer be the file.
        let ours = matches!(
            failure,
            Failure::Brick { .. } | Failure::Cancelled | Failure::Disconnected
        );
        pending.errno = (!ours).then(|| failure.errno());
        if pending.errno.is_some() && get.purpose == Use::Read {
            let key = object.source().key().to_string_lossy();
            log::log!(
                failure.level(),
                id = failure.message();
                "object {key}, bytes {:?}: {failure}",
                get.range
            );
        }
    }
    done
}

/// The part of the request that has not arrived yet. Reported as failed on drop, so that it never stays in flight.
struct Pending<'a, R: Receiver> {
    object: &'a Arc<R>,
    left: Range<u64>,
    errno: Option<Errno>,
}

impl<R: Receiver> Drop for Pending<'_, R> {
    fn drop(&mut self) {
        if !self.left.is_empty() {
            self.object.failed(&self.left, self.errno);
        }
    }
}

fn fetch<R: Receiver>(
    object: &Arc<R>,
    get: &Get<'_>,
    pending: &mut Pending<'_, R>,
    on_chunk: &mut OnChunk<'_, BufferOf<R>>,
) -> Result<(), Failure> {
    let bytes = get.range.end - get.range.start;
    let source = object.source();
    // A recall has reserved its bytes before it began.
    let reserved = match get.purpose {
        Use::Read => source.reserve(bytes)?,
        Use::Recall | Use::More => None,
    };
    let connection = Some(LIMITS.connection(get.purpose, bytes));
    let version = source.version()?;
    let part = |version| Part {
        key: &source.identity.key,
        version,
        size: source.identity.size,
        range: get.range.clone(),
    };
    let mut sink = ChunkSink {
        object,
        get,
        pending,
        buffer: None,
        piece: None,
        on_chunk,
        failed: None,
        asked: Some(Instant::now()),
        connection,
        waiting: None,
        reserved,
    };
    let mut fetched = source.store.fetch(&part(version.as_deref()), &mut sink);
    if fetched == Err(Errno::ESTALE)
        && sink.failed.is_none()
        && let Some(adopted) = source.adopt(version.as_deref())?
    {
        fetched = source.store.fetch(&part(Some(&adopted)), &mut sink);
    }
    let failed = sink.failed.take();
    if failed.is_none()
        && fetched.is_ok()
        && let Some(piece) = sink.piece.take()
    {
        if let Some(expected) = source.checksum()? {
            let found = expected.algorithm().of(piece.buffer().bytes());
            compare(source.key(), expected, found)?;
        }
        sink.deliver(&piece)?;
    }
    let left = pending.left.end - pending.left.start;
    match (failed, fetched) {
        (Some(failure), _) => Err(failure),
        (None, Err(errno)) => {
            // The plugin checks this too; if it stopped for that reason, its error does not concern the object.
            (get.keep_going)()?;
            if errno == Errno::EREMOTEIO {
                // An invalid response may mean that the object is not the file: its metadata shows that.
                source.describe()?;
            }
            Err(Failure::Store(errno))
        }
        (None, Ok(())) if left > 0 => Err(Failure::Incomplete {
            got: get.range.end - get.range.start - left,
            want: get.range.end - get.range.start,
        }),
        (None, Ok(())) => Ok(()),
    }
}

/// Copies the plugin's bytes into chunks.
struct ChunkSink<'a, 'b, 'c, 'd, R: Receiver> {
    object: &'a Arc<R>,
    get: &'a Get<'b>,
    pending: &'a mut Pending<'c, R>,
    /// The buffer being filled.
    buffer: Option<(BufferOf<R>, Lease<'static>)>,
    /// The whole object, if it is a single piece: not delivered until its checksum is verified.
    piece: Option<Arc<Chunk<BufferOf<R>>>>,
    on_chunk: &'a mut OnChunk<'d, BufferOf<R>>,
    /// The sink's own failure, of which the plugin only returns the errno.
    failed: Option<Failure>,
    /// When the store was asked, until it answers.
    asked: Option<Instant>,
    /// `None` while it waits for an object that is being restored.
    connection: Option<Connection<'static>>,
    waiting: Option<Waiting<R::Host>>,
    /// What is left of the budget for this request.
    reserved: Option<Reservation>,
}

/// A long wait, until it is dropped.
struct Waiting<H: Host>(PhantomData<H>);

impl<H: Host> Drop for Waiting<H> {
    fn drop(&mut self) {
        H::waits(false);
    }
}

impl<R: Receiver> ChunkSink<'_, '_, '_, '_, R> {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        if let Some(asked) = self.asked.take() {
            DEPTHS.answered(asked.elapsed());
        }
        LIMITS.pace(bytes.len() as u64);
        let source = self.object.source();
        source.spend(bytes.len() as u64, self.reserved.as_ref());
        while !bytes.is_empty() {
            let (mut buffer, lease) = match self.buffer.take() {
                Some(buffer) => buffer,
                None => self.new_buffer()?,
            };
            let (now, later) = bytes.split_at(bytes.len().min(buffer.room()));
            buffer.push(now);
            bytes = later;
            if buffer.room() > 0 {
                self.buffer = Some((buffer, lease));
                continue;
            }
            let chunk = Arc::new(Chunk::new(buffer, lease));
            if self.object.source().is_one_piece() {
                self.piece = Some(chunk);
            } else {
                self.deliver(&chunk)?;
            }
        }
        Ok(())
    }

    fn deliver(&mut self, chunk: &Arc<Chunk<BufferOf<R>>>) -> Result<(), Failure> {
        let at = self.pending.left.start;
        self.pending.left.start += chunk.buffer().bytes().len() as u64;
        self.object.received(at, Arc::clone(chunk));
        (self.on_chunk)(at, chunk)
    }

    fn new_buffer(&self) -> Result<(BufferOf<R>, Lease<'static>), Failure> {
        let left = self.pending.left.end - self.pending.left.start;
        let is_first = self.pending.left.start == self.get.range.start;
        let max = match self.get.first {
            Some(first) if is_first && !self.object.source().is_one_piece() => first,
            _ => R::Host::PIECE,
        };
        let size = left.min(max);
        if size == 0 || self.piece.is_some() {
            return Err(Failure::TooLong(self.get.range.end));
        }
        let lease = LIMITS.memory(size);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let buffer = BufferOf::<R>::new(self.object.source().this, size).map_err(|errno| {
            Failure::Brick {
                step: "allocate memory for a write",
                errno,
            }
        })?;
        Ok((buffer, lease))
    }
}

impl<R: Receiver> Sink for ChunkSink<'_, '_, '_, '_, R> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        (self.get.keep_going)()
            .and_then(|()| self.take(bytes))
            .map_err(|failure| {
                let errno = failure.errno();
                self.failed = Some(failure);
                errno
            })
    }

    fn cancelled(&self) -> bool {
        (self.get.keep_going)().is_err()
    }

    fn describe(&mut self, found: store::Object) {
        self.object.source().learn(found);
    }

    fn throttled(&mut self) {
        // What the store answers after that says nothing of how far away it is.
        self.asked = None;
        DEPTHS.throttled();
    }

    fn may_restore(&mut self) -> bool {
        self.get.purpose != Use::Read || self.object.source().may_restore()
    }

    fn waits(&mut self, begins: bool) -> bool {
        // What it answers after that says nothing of how far away it is.
        self.asked = None;
        if begins == self.waiting.is_some() {
            return true;
        }
        if begins {
            let may = R::Host::waits(true);
            if may {
                self.waiting = Some(Waiting(PhantomData));
                self.connection = None;
            }
            return may;
        }
        self.waiting = None;
        let bytes = self.pending.left.end - self.pending.left.start;
        self.connection = Some(LIMITS.connection(self.get.purpose, bytes));
        true
    }
}
