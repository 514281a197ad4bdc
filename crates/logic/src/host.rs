// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What objects and recalls need of the host: its operations, its memory, its threads. The translator implements this
//! with GlusterFS, the tests that explore orders of events with a model.

#![forbid(unsafe_code)]

use std::fmt::Debug;

use crate::errno::Errno;
use crate::gfid::Gfid;
use crate::objects::chunk::Chunk;
use crate::recall::tracker::Reading;
use crate::sizes;
use crate::status;
use crate::store::Store;

/// A host.
pub trait Host: Debug + Send + Sync + Sized + 'static {
    /// The most that one request asks for.
    const PART: u64 = sizes::PART;

    /// A file of at most so many bytes is fetched as a whole, and compared with its checksum before a byte of it is read.
    const PIECE: u64 = sizes::PIECE;

    /// The instance of the translator that works.
    type Instance: Copy + Debug + Send + Sync + 'static;
    /// Makes it the current one of its thread until it is dropped.
    type Entered;
    /// A file's attributes.
    type Attributes: status::Attributes + Send + Sync + 'static;
    /// Memory that operations are answered with.
    type Buffer: Buffer<Self>;
    /// A reference to a file.
    type Inode: Inode;
    /// An operation.
    type Ticket: Ticket<Self>;
    /// A store.
    type Store: Store;

    /// Makes `instance` the current one of this thread.
    fn enter(instance: Self::Instance) -> Self::Entered;

    /// Runs `body`; a panic in it is logged and becomes `otherwise`.
    fn catch<T>(otherwise: T, body: impl FnOnce() -> T) -> T;

    /// Runs `task` on one of at most `limit` threads of a pool. Never blocks.
    ///
    /// # Errors
    /// [`NoThread`]; the task was dropped without being run.
    fn run(pool: Pool, limit: usize, task: impl FnOnce() + Send + 'static) -> Result<(), NoThread>;
}

/// Threads for one kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Recalls of files that are small.
    Small,
    /// Recalls of large files.
    Large,
    /// Requests to the store that readers wait for.
    Reads,
    /// What asks or changes something on the bricks only.
    Bricks,
    /// What waits for the lock of a file that another client may be recalling, and then needs no store.
    Locks,
}

/// How many threads [`Pool::Bricks`] and [`Pool::Locks`] may have.
pub const LIMIT: usize = 16;

/// No thread could be started, and none exists to run the task.
#[derive(Debug)]
pub struct NoThread;

/// Memory that is filled from its beginning on.
pub trait Buffer<H: Host>: Debug + Send + Sync + Sized + 'static {
    /// Empty, with room for `size` bytes.
    ///
    /// # Errors
    /// ENOMEM.
    fn new(instance: H::Instance, size: usize) -> Result<Self, Errno>;

    /// How many bytes there is room for.
    fn room(&self) -> usize;

    /// Adds a copy of `bytes`, for which there must be room.
    fn push(&mut self, bytes: &[u8]);

    /// What is in it.
    fn bytes(&self) -> &[u8];
}

/// A reference to a file.
pub trait Inode: Debug + Send + Sync + 'static {
    /// The file's identity.
    fn gfid(&self) -> Gfid;

    /// The file's path, for messages.
    fn path(&self) -> String;
}

/// An operation, which is answered exactly once.
pub trait Ticket<H: Host>: Debug + Send + Sized + 'static {
    /// Whether it is a read.
    fn is_read(&self) -> bool;

    /// Whether it is one of those that can truncate a file: by path, by descriptor or with `O_TRUNC`.
    fn truncates(&self) -> bool;

    /// Where a read begins.
    fn offset(&self) -> u64;

    /// How many bytes a read wants.
    fn size(&self) -> u64;

    /// Answers a read with what is in `buffer`. `at_end`: the file has no more. The answer shows `attributes`.
    fn answer_bytes(self, buffer: &H::Buffer, at_end: bool, attributes: &H::Attributes);

    /// Answers with an error.
    fn fail(self, errno: Errno);

    /// Goes on as if it had just arrived, since what it waited for has happened. Never blocks.
    fn again(self);

    /// A read goes on though its file is not recalled. Never blocks.
    fn read_again(self);

    /// Reads from the bricks, which have these bytes, while the recall goes on. Never blocks.
    fn read_beside(self, reading: Reading<Chunk<H::Buffer>, H::Attributes>);
}
