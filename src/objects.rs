// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! GlusterFS as the host of objects ([`cloudsync_logic::objects`]) and of jobs ([`cloudsync_logic::recall`]).

#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;

use crate::host::attributes::Attributes;
use crate::host::buffer::Buffer;
use crate::host::guard;
use crate::host::inode::Inode;
use crate::host::ticket::{Stored, Ticket};
use crate::host::xlator::{Entered, Xlator};
use crate::plugin::store::LoadedStore;
use crate::sys::glusterfs_fop_t as fop;
use crate::work::workers;
use cloudsync_format::jobs::Waiter;
use cloudsync_logic::errno::Errno;
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::host::{self, Host, NoThread, Pool};
use cloudsync_logic::labels::Looks;
use cloudsync_logic::objects::{chunk, object, registry};
use cloudsync_logic::recall::tracker::Reading;
use cloudsync_logic::store::{self, Part, Sink, Store};

/// Bytes of an object in memory.
pub type Chunk = chunk::Chunk<Buffer>;
/// One version of one object.
pub type Object = object::Object<Gluster>;
/// The open objects of an instance.
pub type Objects = registry::Objects<Gluster>;

/// The host.
#[derive(Debug)]
pub struct Gluster;

impl Host for Gluster {
    type Instance = Xlator;
    type Entered = Entered;
    type Attributes = Attributes;
    type Buffer = Buffer;
    type Inode = Inode;
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
            Pool::Small => &workers::SMALL,
            Pool::Large => &workers::LARGE,
            Pool::Reads => &workers::READS,
            Pool::Bricks => &workers::BRICKS,
            Pool::Locks => &workers::LOCKS,
        };
        pool.run(limit, task)
    }

    fn waits(begins: bool) -> bool {
        workers::waits(begins)
    }
}

impl host::Buffer<Gluster> for Buffer {
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

impl Stored for Object {
    fn remember(&self, looks: Looks) {
        self.remember(looks);
    }

    fn read(self: Arc<Self>, ticket: Ticket) {
        Self::read(&self, ticket, true);
    }
}

impl host::Inode for Inode {
    fn gfid(&self) -> Gfid {
        self.gfid()
    }

    fn path(&self) -> String {
        self.path()
    }
}

impl host::Ticket<Gluster> for Ticket {
    fn is_read(&self) -> bool {
        self.fop() == fop::GF_FOP_READ
    }

    fn truncates(&self) -> bool {
        matches!(
            self.fop(),
            fop::GF_FOP_TRUNCATE | fop::GF_FOP_FTRUNCATE | fop::GF_FOP_OPEN
        )
    }

    fn who(&self) -> Waiter {
        let arguments = self.arguments();
        let what = match self.fop() {
            fop::GF_FOP_READ => "read",
            fop::GF_FOP_WRITE => "write",
            fop::GF_FOP_OPEN => "open",
            fop::GF_FOP_TRUNCATE | fop::GF_FOP_FTRUNCATE => "truncate",
            fop::GF_FOP_LOOKUP => "lookup",
            fop::GF_FOP_STAT | fop::GF_FOP_FSTAT => "stat",
            fop::GF_FOP_SETATTR | fop::GF_FOP_FSETATTR => "setattr",
            fop::GF_FOP_FALLOCATE | fop::GF_FOP_DISCARD | fop::GF_FOP_ZEROFILL => "fallocate",
            fop::GF_FOP_SEEK => "seek",
            fop::GF_FOP_RCHECKSUM => "checksum",
            fop::GF_FOP_COPY_FILE_RANGE => "copy_file_range",
            _ => "other",
        };
        Waiter {
            pid: arguments.worker(),
            uid: arguments.uid(),
            what: what.into(),
        }
    }

    fn offset(&self) -> u64 {
        self.arguments().offset()
    }

    fn size(&self) -> u64 {
        self.arguments().size()
    }

    fn answer_bytes(
        self,
        buffer: &Buffer,
        part: Range<usize>,
        at_end: bool,
        attributes: &Attributes,
    ) {
        self.answer_bytes(buffer, part, at_end, attributes);
    }

    fn fail(self, errno: Errno) {
        self.fail(errno);
    }

    fn fail_if_asked(self, errno: Errno) {
        self.fail_if_asked(errno);
    }

    fn again(self) {
        self.again();
    }

    fn read_again(self) {
        self.read_again();
    }

    fn read_beside(self, reading: Reading<Chunk, Attributes>) {
        self.wind_during(Box::new(reading));
    }
}

impl Store for LoadedStore {
    fn head(&self, key: &std::ffi::CStr) -> Result<Option<store::Object>, Errno> {
        self.head(key)
    }

    fn fetch(&self, part: &Part<'_>, sink: &mut dyn Sink) -> Result<(), Errno> {
        self.fetch(part, sink)
    }
}
