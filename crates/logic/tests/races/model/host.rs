// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A host whose files are numbers and whose memory is Rust's. Requests are small, so that an order has few events; the
//! possible orders are the same as with large ones.

use cloudsync_format::claim::Time;
use cloudsync_logic::errno::Errno;
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::host::{self, NoThread, Pool};
use cloudsync_logic::objects::{chunk, object, registry};
use cloudsync_logic::status;

use crate::model::store::Store;
use crate::model::threads;
use crate::model::ticket::Ticket;

/// Received bytes of an object.
pub(crate) type Chunk = chunk::Chunk<Buffer>;
/// One version of one object.
pub(crate) type Object = object::Object<Host>;
/// The objects that an instance has open.
pub(crate) type Objects = registry::Objects<Host>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Host;

impl host::Host for Host {
    const PART: u64 = 2 * Self::PIECE;
    const PIECE: u64 = 4;

    type Instance = ();
    type Entered = ();
    type Attributes = Attributes;
    type Buffer = Buffer;
    type Inode = Inode;
    type Ticket = Ticket;
    type Store = Store;

    fn enter((): ()) {}

    /// Does not catch anything: a panic fails the test.
    fn catch<T>(_: T, body: impl FnOnce() -> T) -> T {
        body()
    }

    fn run(_: Pool, _: usize, task: impl FnOnce() + Send + 'static) -> Result<(), NoThread> {
        threads::run(task)
    }

    fn waits(_: bool) -> bool {
        true
    }
}

/// A file's size. The other attributes are not used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes(pub u64);

impl status::Attributes for Attributes {
    fn size(&self) -> u64 {
        self.0
    }

    fn blocks(&self) -> u64 {
        0
    }

    fn block_size(&self) -> u32 {
        0
    }

    fn links(&self) -> u32 {
        1
    }

    fn is_file(&self) -> bool {
        true
    }

    fn atime(&self) -> Time {
        Time {
            seconds: 0,
            nanos: 0,
        }
    }

    fn mtime(&self) -> Time {
        Time {
            seconds: 0,
            nanos: 0,
        }
    }

    fn ctime(&self) -> Time {
        self.mtime()
    }

    fn show_cold(&mut self, size: u64) {
        self.0 = size;
    }

    fn access(&mut self) {}
    fn access_next(&mut self) {}
}

/// Memory.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    size: usize,
}

impl host::Buffer<Host> for Buffer {
    fn new((): (), size: usize) -> Result<Self, Errno> {
        let bytes = Vec::with_capacity(size);
        Ok(Self { bytes, size })
    }

    fn room(&self) -> usize {
        self.size - self.bytes.len()
    }

    fn push(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "buffer too small");
        self.bytes.extend_from_slice(bytes);
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A file.
#[derive(Debug)]
pub(crate) struct Inode(pub Gfid);

impl host::Inode for Inode {
    fn gfid(&self) -> Gfid {
        self.0
    }

    fn path(&self) -> String {
        self.0.to_string()
    }
}
