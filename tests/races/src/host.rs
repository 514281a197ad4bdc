// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! In place of src/host: operations that count their answers, files that are a number.

/// What a file shows.
pub mod attributes {
    use cloudsync_format::claim::Time;
    use cloudsync_logic::status;

    /// Its size.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Attributes(pub u64);

    /// Nobody asks for the others.
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
    }
}

#[path = "../../../src/host/beside.rs"]
pub mod beside;

/// In place of src/host/write.rs: who hears of a write's answer.
pub mod write {
    use cloudsync_logic::errno::Errno;

    /// As the real one.
    pub trait InFlight: Send {
        /// The write was answered.
        fn end(self: Box<Self>, result: Result<u64, Errno>, moved_mtime: bool);
    }
}

/// The host's memory.
pub mod buffer {
    use super::xlator::Xlator;
    use cloudsync_logic::errno::Errno;

    /// As the real one, but Rust's.
    #[derive(Debug)]
    pub struct Buffer {
        bytes: Vec<u8>,
        size: usize,
    }

    impl Buffer {
        /// With room for `size` bytes.
        ///
        /// # Errors
        /// None.
        pub fn new(_: Xlator, size: usize) -> Result<Self, Errno> {
            let bytes = Vec::with_capacity(size);
            Ok(Self { bytes, size })
        }

        /// How many bytes there is room for.
        #[must_use]
        pub const fn room(&self) -> usize {
            self.size - self.bytes.len()
        }

        /// Adds `bytes`.
        pub fn push(&mut self, bytes: &[u8]) {
            assert!(bytes.len() <= self.room(), "buffer too small");
            self.bytes.extend_from_slice(bytes);
        }

        /// What is in it.
        #[must_use]
        pub fn bytes(&self) -> &[u8] {
            &self.bytes
        }
    }
}

/// Who calls.
pub mod xlator {
    /// Nobody asks here.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Xlator;

    /// Until it is dropped.
    #[derive(Debug)]
    pub struct Entered;

    impl Drop for Entered {
        fn drop(&mut self) {}
    }

    impl Xlator {
        /// Nothing.
        #[must_use]
        pub const fn enter(&self) -> Entered {
            Entered
        }
    }
}

/// A panic in a job fails the test.
pub mod guard {
    /// Runs `body`.
    pub fn catch<T>(_: T, body: impl FnOnce() -> T) -> T {
        body()
    }
}

/// Files.
pub mod inode {
    use cloudsync_logic::gfid::Gfid;

    /// A file.
    #[derive(Debug)]
    pub struct Inode(pub Gfid);

    impl Inode {
        /// Which.
        #[must_use]
        pub const fn gfid(&self) -> Gfid {
            self.0
        }

        /// Its path.
        #[must_use]
        pub fn path(&self) -> String {
            self.0.to_string()
        }
    }
}

/// Operations.
pub mod ticket {
    use std::ops::Range;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

    use super::attributes::Attributes;
    use super::beside::Beside;
    use super::buffer::Buffer;
    use super::inode::Inode;
    use crate::instance::Instance;
    use crate::plugin::store::byte;
    use cloudsync_logic::errno::Errno;
    use cloudsync_logic::status::Attributes as _;

    /// What became of the operations.
    #[derive(Debug, Default)]
    pub struct Ledger {
        /// They went on.
        pub resumed: AtomicUsize,
        /// They got an errno.
        pub failed: AtomicUsize,
        /// Nobody answered them.
        pub dropped: AtomicUsize,
        /// The last errno.
        pub errno: AtomicI32,
    }

    /// An operation; `again` times it finds the file archived again when it goes on.
    #[derive(Debug)]
    pub struct Ticket {
        ledger: Arc<Ledger>,
        answered: bool,
        /// What a read asks for.
        range: Range<u64>,
        /// See above.
        pub again: u8,
        /// Where it came to.
        home: Option<Arc<Instance>>,
    }

    /// What an operation says.
    #[derive(Clone, Debug)]
    pub struct Arguments(Range<u64>);

    impl Arguments {
        /// Where a read begins.
        #[must_use]
        pub const fn offset(&self) -> u64 {
            self.0.start
        }

        /// How many bytes it wants.
        #[must_use]
        pub const fn size(&self) -> u64 {
            self.0.end - self.0.start
        }
    }

    impl Ticket {
        /// One that is written down in `ledger`.
        #[must_use]
        pub const fn new(ledger: Arc<Ledger>, again: u8) -> Self {
            Self {
                ledger,
                answered: false,
                range: 0..0,
                again,
                home: None,
            }
        }

        /// A read that is written down in `ledger`.
        #[must_use]
        pub const fn read(ledger: Arc<Ledger>, range: Range<u64>) -> Self {
            Self {
                ledger,
                answered: false,
                range,
                again: 0,
                home: None,
            }
        }

        /// What it says.
        #[must_use]
        pub fn arguments(&self) -> Arguments {
            Arguments(self.range.clone())
        }

        /// A read.
        #[must_use]
        pub const fn fop(&self) -> u32 {
            crate::sys::glusterfs_fop_t::GF_FOP_READ
        }

        /// Its file.
        #[must_use]
        pub const fn inode(&self) -> Option<Inode> {
            Some(Inode(crate::volume::FILE))
        }

        /// It is a read that the bricks answer.
        pub fn wind_during(self, recall: Box<dyn Beside>) {
            drop(recall);
            self.answer();
        }

        /// It comes to an instance.
        pub fn arrive(&mut self, home: &Arc<Instance>) {
            self.home = Some(Arc::clone(home));
        }

        /// It goes on.
        ///
        /// # Panics
        /// When it has come to no instance.
        pub fn again(mut self) {
            let home = self.home.take().expect("it has arrived");
            home.proceed(self);
        }

        /// It is a read that is served: it is answered at once.
        pub fn read_again(self) {
            self.answer();
        }

        /// It is about to be parked.
        pub const fn count_attempt(&mut self) {}

        /// It goes on, and ends well.
        pub fn answer(mut self) {
            self.answered = true;
            self.ledger.resumed.fetch_add(1, Ordering::Relaxed);
        }

        /// It ends with these bytes, which must be the file's.
        pub fn answer_bytes(self, buffer: &Buffer, at_end: bool, attributes: &Attributes) {
            let end = self.range.end.min(attributes.size());
            let expected: Vec<u8> = (self.range.start..end).map(byte).collect();
            assert_eq!(buffer.bytes(), expected, "of {:?}", self.range);
            assert_eq!(at_end, end == attributes.size());
            self.answer();
        }

        /// It ends.
        pub fn fail(mut self, errno: Errno) {
            self.answered = true;
            self.ledger.errno.store(errno.get(), Ordering::Relaxed);
            self.ledger.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Drop for Ticket {
        fn drop(&mut self) {
            if !self.answered {
                self.ledger.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
