// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Objects of the model's host, with sizes that are small: the orders of events are the same, and are tried in less time.

use crate::host::attributes::Attributes;
use crate::host::buffer::Buffer;
use crate::host::guard;
use crate::host::ticket::Ticket;
use crate::host::xlator::{Entered, Xlator};
use crate::plugin::store::LoadedStore;
use crate::work::workers;
use cloudsync_logic::errno::Errno;
use cloudsync_logic::host::{self, Host, NoThread, Pool};
use cloudsync_logic::objects::{chunk, object, registry};

/// Bytes of an object that have come.
pub type Chunk = chunk::Chunk<Buffer>;
/// One version of one object.
pub type Object = object::Object<Model>;
/// The objects that an instance has open.
pub type Objects = registry::Objects<Model>;

/// The host.
#[derive(Debug)]
pub struct Model;

impl Host for Model {
    const PART: u64 = 2 * Self::PIECE;
    const PIECE: u64 = 4;

    type Instance = Xlator;
    type Entered = Entered;
    type Attributes = Attributes;
    type Buffer = Buffer;
    type Ticket = Ticket;
    type Store = LoadedStore;

    fn enter(instance: Xlator) -> Entered {
        instance.enter()
    }

    fn catch<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
        guard::catch(otherwise, body)
    }

    fn run(pool: Pool, limit: usize, task: impl FnOnce() + Send + 'static) -> Result<(), NoThread> {
        let pool = match pool {
            Pool::Reads => &workers::READS,
        };
        pool.run(limit, task)
    }
}

impl host::Buffer<Model> for Buffer {
    fn new(instance: Xlator, size: usize) -> Result<Self, Errno> {
        Self::new(instance, size)
    }

    fn room(&self) -> usize {
        self.room()
    }

    fn push(&mut self, bytes: &[u8]) {
        self.push(bytes);
    }

    fn bytes(&self) -> &[u8] {
        self.bytes()
    }
}

impl host::Ticket<Model> for Ticket {
    fn offset(&self) -> u64 {
        self.arguments().offset()
    }

    fn size(&self) -> u64 {
        self.arguments().size()
    }

    fn answer_bytes(self, buffer: &Buffer, at_end: bool, attributes: &Attributes) {
        self.answer_bytes(buffer, at_end, attributes);
    }

    fn fail(self, errno: Errno) {
        self.fail(errno);
    }
}
