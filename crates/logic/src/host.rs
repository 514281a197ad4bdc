// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What objects and recalls need of the host: its operations, its memory, its threads. The translator implements this
//! with GlusterFS, the tests that explore orders of events with a model.

#![forbid(unsafe_code)]

use std::fmt::Debug;

use crate::errno::Errno;
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
    /// Requests to the store that readers wait for.
    Reads,
}

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

/// An operation, which is answered exactly once.
pub trait Ticket<H: Host>: Debug + Send + Sized + 'static {
    /// Where a read begins.
    fn offset(&self) -> u64;

    /// How many bytes a read wants.
    fn size(&self) -> u64;

    /// Answers a read with what is in `buffer`. `at_end`: the file has no more. The answer shows `attributes`.
    fn answer_bytes(self, buffer: &H::Buffer, at_end: bool, attributes: &H::Attributes);

    /// Answers with an error.
    fn fail(self, errno: Errno);
}
