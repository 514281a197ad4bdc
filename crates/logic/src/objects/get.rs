// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One request for bytes of an object: from chunks as the network has them to chunks as readers and bricks like them.

#![forbid(unsafe_code)]

use std::ops::Range;

use crate::errno::{Errno, Failure};
use crate::host::{Buffer as _, Host, Pool};
use crate::objects::chunk::Chunk;
use crate::objects::limits::{LIMITS, Lease, Use};
use crate::objects::source::{Source, compare};
use crate::store::{self, Part, Sink, Store as _};
use crate::sync::Arc;

/// Threads for requests that readers wait for. With its stack, and what a request allocates, each costs the process some
/// 400 KiB.
const THREADS: usize = 48;

/// Who waits for what is fetched: an object above us, which keeps the bytes and answers its readers.
pub trait Receiver: Send + Sync + 'static {
    /// Whose memory the bytes come into.
    type Host: Host;

    /// What is fetched, and where.
    fn source(&self) -> &Source<Self::Host>;

    /// Bytes have come that were on their way. Answers who waited for them.
    fn came(self: &Arc<Self>, at: u64, chunk: Arc<Chunk<BufferOf<Self>>>);

    /// Bytes that were on their way will not come: who waits for them gets `errno`; `None`: asks again.
    fn gone(self: &Arc<Self>, range: &Range<u64>, errno: Option<Errno>);
}

/// The memory that a receiver gets its bytes in.
type BufferOf<R> = <<R as Receiver>::Host as Host>::Buffer;

/// Hears of a chunk that came, and where it begins. `B`: the memory that it is in.
pub type Came<'a, B> = dyn FnMut(u64, &Arc<Chunk<B>>) -> Result<(), Failure> + 'a;

/// Whether bytes are wanted still, and if not, why not.
pub type KeepGoing<'a> = dyn Fn() -> Result<(), Failure> + Sync + 'a;

/// What to get, for whom.
pub struct Get<'a> {
    range: Range<u64>,
    /// Bytes of the first chunk, if that is not as large as a piece. Those behind it are.
    first: Option<u64>,
    what: Use,
    keep_going: &'a KeepGoing<'a>,
}

impl std::fmt::Debug for Get<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Get({:?}, {:?})", self.range, self.what)
    }
}

impl<'a> Get<'a> {
    /// Bytes of a file that is brought back.
    pub fn recall(range: Range<u64>, what: Use, keep_going: &'a KeepGoing<'a>) -> Self {
        Self {
            range,
            first: None,
            what,
            keep_going,
        }
    }
}

/// Fetches a range that is on its way, on a thread of its own. Never blocks.
pub fn start<R: Receiver>(object: &Arc<R>, range: Range<u64>, first: u64) {
    let task = {
        let (object, range) = (Arc::clone(object), range.clone());
        let running = object.source().busy.begin();
        move || {
            let entered = R::Host::enter(object.source().this);
            let get = Get {
                range,
                first: Some(first),
                what: Use::Read,
                keep_going: &|| match object.source().is_ending() {
                    true => Err(Failure::Cancelled),
                    false => Ok(()),
                },
            };
            // Who waits was told.
            let _told = run(&object, get, &mut |_, _| Ok(()));
            drop(object);
            drop(entered);
            drop(running);
        }
    };
    if R::Host::run(Pool::Reads, THREADS, task).is_err() {
        object.gone(&range, Some(Errno::ENOMEM));
    }
}

/// Fetches a range that is on its way. Who waits for it hears how it went; `each` gets the chunks as well. Blocks.
///
/// # Errors
/// Why the bytes did not come, or what `each` said.
pub fn run<R: Receiver>(
    object: &Arc<R>,
    get: Get<'_>,
    each: &mut Came<'_, BufferOf<R>>,
) -> Result<(), Failure> {
    let mut coming = Coming {
        object,
        left: get.range.clone(),
        errno: Some(Errno::EIO),
    };
    let done = R::Host::catch(Err(Failure::Bug), || fetch(object, &get, &mut coming, each));
    if let Err(failure) = &done {
        // A recall that is given up says nothing of the object. (One that lost its lock does: who waits must not get
        // bytes of what may not be the file any more.)
        let ours = matches!(
            failure,
            Failure::Brick { .. } | Failure::Cancelled | Failure::Disconnected
        );
        coming.errno = (!ours).then(|| failure.errno());
        if coming.errno.is_some() && get.what == Use::Read {
            let key = object.source().key().to_string_lossy();
            log::log!(
                failure.level(),
                "object {key}, bytes {:?}: {failure}",
                get.range
            );
        }
    }
    done
}

/// What has not come yet. Whatever happens, it does not stay "on its way".
struct Coming<'a, R: Receiver> {
    object: &'a Arc<R>,
    left: Range<u64>,
    errno: Option<Errno>,
}

impl<R: Receiver> Drop for Coming<'_, R> {
    fn drop(&mut self) {
        if !self.left.is_empty() {
            self.object.gone(&self.left, self.errno);
        }
    }
}

fn fetch<R: Receiver>(
    object: &Arc<R>,
    get: &Get<'_>,
    coming: &mut Coming<'_, R>,
    each: &mut Came<'_, BufferOf<R>>,
) -> Result<(), Failure> {
    let bytes = get.range.end - get.range.start;
    let _connection = LIMITS.connection(get.what, bytes);
    let source = object.source();
    let version = source.version()?;
    let part = |version| Part {
        key: &source.identity.key,
        version,
        size: source.identity.size,
        range: get.range.clone(),
    };
    let mut filling = Filling {
        object,
        get,
        coming,
        buffer: None,
        piece: None,
        each,
        failed: None,
    };
    let mut fetched = source.store.fetch(&part(version.as_deref()), &mut filling);
    if fetched == Err(Errno::ESTALE)
        && filling.failed.is_none()
        && let Some(adopted) = source.adopt(version.as_deref())?
    {
        fetched = source.store.fetch(&part(Some(&adopted)), &mut filling);
    }
    let failed = filling.failed.take();
    if failed.is_none()
        && fetched.is_ok()
        && let Some(piece) = filling.piece.take()
    {
        if let Some(expected) = source.checksum()? {
            let found = expected.algorithm().of(piece.buffer().bytes());
            compare(source.key(), expected, found)?;
        }
        filling.hand_out(&piece)?;
    }
    let left = coming.left.end - coming.left.start;
    match (failed, fetched) {
        (Some(failure), _) => Err(failure),
        (None, Err(errno)) => {
            // The plugin checks this, too; if it stopped for that reason, its error is not about the object.
            (get.keep_going)()?;
            if errno == Errno::EREMOTEIO {
                // Nonsense, as for a range of an object that is not the file. Asking tells.
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

struct Filling<'a, 'b, 'c, 'd, R: Receiver> {
    object: &'a Arc<R>,
    get: &'a Get<'b>,
    coming: &'a mut Coming<'c, R>,
    buffer: Option<(BufferOf<R>, Lease<'static>)>,
    /// An object of one piece, all of it: nobody sees it before it was compared.
    piece: Option<Arc<Chunk<BufferOf<R>>>>,
    each: &'a mut Came<'d, BufferOf<R>>,
    /// Ours, which the plugin only hands through.
    failed: Option<Failure>,
}

impl<R: Receiver> Filling<'_, '_, '_, '_, R> {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        LIMITS.pace(bytes.len() as u64);
        while !bytes.is_empty() {
            let (mut buffer, lease) = match self.buffer.take() {
                Some(filling) => filling,
                None => self.room()?,
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
                self.hand_out(&chunk)?;
            }
        }
        Ok(())
    }

    fn hand_out(&mut self, chunk: &Arc<Chunk<BufferOf<R>>>) -> Result<(), Failure> {
        let at = self.coming.left.start;
        self.coming.left.start += chunk.buffer().bytes().len() as u64;
        self.object.came(at, Arc::clone(chunk));
        (self.each)(at, chunk)
    }

    fn room(&self) -> Result<(BufferOf<R>, Lease<'static>), Failure> {
        let left = self.coming.left.end - self.coming.left.start;
        let begins = self.coming.left.start == self.get.range.start;
        let most = match self.get.first {
            Some(first) if begins && !self.object.source().is_one_piece() => first,
            _ => R::Host::PIECE,
        };
        let size = left.min(most);
        if size == 0 || self.piece.is_some() {
            return Err(Failure::TooLong(self.get.range.end));
        }
        let lease = LIMITS.memory(size);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let buffer = BufferOf::<R>::new(self.object.source().this, size).map_err(|errno| {
            Failure::Brick {
                step: "take memory for a write",
                errno,
            }
        })?;
        Ok((buffer, lease))
    }
}

impl<R: Receiver> Sink for Filling<'_, '_, '_, '_, R> {
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
}
