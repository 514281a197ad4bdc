// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The host as objects and recalls see it: its operations, buffers and threads. The translator implements these traits
//! with GlusterFS, and tests/races with a model.

#![forbid(unsafe_code)]

use std::fmt::Debug;
use std::ops::Range;

use cloudsync_format::jobs::Waiter;

use crate::errno::Errno;
use crate::gfid::Gfid;
use crate::objects::chunk::Chunk;
use crate::recall::tracker::Reading;
use crate::sizes;
use crate::status;
use crate::store::Store;

/// A host.
pub trait Host: Debug + Send + Sync + Sized + 'static {
    /// See [`sizes::PART`]. Tests use a smaller size.
    const PART: u64 = sizes::PART;

    /// See [`sizes::PIECE`]. Tests use a smaller size.
    const PIECE: u64 = sizes::PIECE;

    /// An instance of the translator.
    type Instance: Copy + Debug + Send + Sync + 'static;
    /// Keeps the instance current on its thread until it is dropped.
    type Entered;
    /// A file's attributes.
    type Attributes: status::Attributes + Send + Sync + 'static;
    /// A buffer with which operations can be answered.
    type Buffer: Buffer<Self>;
    /// A reference to a file.
    type Inode: Inode;
    /// An operation.
    type Ticket: Ticket<Self>;
    /// A store.
    type Store: Store;

    /// Makes `instance` the current one on this thread.
    fn enter(instance: Self::Instance) -> Self::Entered;

    /// Runs `body`; a panic in it is logged and becomes `otherwise`.
    fn catch<T>(otherwise: T, body: impl FnOnce() -> T) -> T;

    /// Runs `task` on one of at most `limit` threads of a pool. Never blocks.
    ///
    /// # Errors
    /// [`NoThread`]; the task was dropped without being run.
    fn run(pool: Pool, limit: usize, task: impl FnOnce() + Send + 'static) -> Result<(), NoThread>;

    /// Called before and after the running task waits for long (`begins`: before): another thread of its pool takes its
    /// place. Returns whether it may wait: not if too many do.
    fn waits(begins: bool) -> bool;
}

/// A pool of threads for one kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Recalls of small files.
    Small,
    /// Recalls of large files.
    Large,
    /// Requests to the store that readers wait for.
    Reads,
    /// Short work on the bricks, such as queries of a file's state.
    Bricks,
    /// Work under the file's lock that needs no store. It may wait while another client recalls the file.
    Locks,
}

/// The maximum number of threads of [`Pool::Bricks`], and of [`Pool::Locks`].
pub const LIMIT: usize = 16;

/// No thread could be started, and none exists to run the task.
#[derive(Debug)]
pub struct NoThread;

/// A buffer of fixed capacity, to which bytes are appended.
pub trait Buffer<H: Host>: Debug + Send + Sync + Sized + 'static {
    /// Allocates an empty buffer for `size` bytes.
    ///
    /// # Errors
    /// ENOMEM.
    fn new(instance: H::Instance, size: usize) -> Result<Self, Errno>;

    /// The number of bytes that can still be appended.
    fn room(&self) -> usize;

    /// Appends a copy of `bytes`, for which there must be room.
    fn push(&mut self, bytes: &[u8]);

    /// The bytes appended so far.
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

    /// Whether it can truncate a file: by path, by descriptor or with `O_TRUNC`.
    fn truncates(&self) -> bool;

    /// Who waits, for an administrator.
    fn who(&self) -> Waiter;

    /// The offset of a read.
    fn offset(&self) -> u64;

    /// The number of bytes that a read requests.
    fn size(&self) -> u64;

    /// Answers a read with the bytes in `buffer` and with `attributes`. `at_end`: they end at the end of the file.
    fn answer_bytes(
        self,
        buffer: &H::Buffer,
        part: Range<usize>,
        at_end: bool,
        attributes: &H::Attributes,
    );

    /// Answers with an error.
    fn fail(self, errno: Errno);

    /// Answers a read with an error, unless the bricks were not asked whether its file still has this object: then they are.
    fn fail_if_asked(self, errno: Errno);

    /// Continues the operation as if it had just arrived, after the wait has ended. Never blocks.
    fn again(self);

    /// Continues a read although its file was not recalled. Never blocks.
    fn read_again(self);

    /// Sends a read to the bricks, which have its bytes, while the recall continues. Never blocks.
    fn read_beside(self, reading: Reading<Chunk<H::Buffer>, H::Attributes>);
}
