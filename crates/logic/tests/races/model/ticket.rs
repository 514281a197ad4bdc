// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Operations that record how they were answered. A read compares its answer with the file's bytes.

use cloudsync_format::jobs::Waiter;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use cloudsync_logic::errno::Errno;
use cloudsync_logic::host::{self, Buffer as _};
use cloudsync_logic::recall::tracker::Reading;
use cloudsync_logic::status::Attributes as _;

use crate::model::host::{Attributes, Buffer, Chunk, Host};
use crate::model::instance::Instance;
use crate::model::store::byte;

/// The outcomes of operations.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Operations that proceeded.
    pub(crate) resumed: AtomicUsize,
    /// Operations that failed.
    pub(crate) failed: AtomicUsize,
    /// Operations that were dropped without an answer.
    pub(crate) dropped: AtomicUsize,
    /// The last errno.
    pub(crate) errno: AtomicI32,
}

/// An operation.
#[derive(Debug)]
pub(crate) struct Ticket {
    ledger: Arc<Ledger>,
    answered: bool,
    /// The range of a read.
    range: Range<u64>,
    /// How many times it finds the file archived again when it proceeds.
    pub(crate) again: u8,
    /// The instance at which it arrived.
    home: Option<Arc<Instance>>,
}

impl Ticket {
    /// An operation that is recorded in `ledger`.
    #[must_use]
    pub(crate) const fn new(ledger: Arc<Ledger>, again: u8) -> Self {
        Self {
            ledger,
            answered: false,
            range: 0..0,
            again,
            home: None,
        }
    }

    /// A read that is recorded in `ledger`.
    #[must_use]
    pub(crate) const fn read(ledger: Arc<Ledger>, range: Range<u64>) -> Self {
        Self {
            ledger,
            answered: false,
            range,
            again: 0,
            home: None,
        }
    }

    /// The operation arrives at an instance.
    pub(crate) fn arrive(&mut self, home: &Arc<Instance>) {
        self.home = Some(Arc::clone(home));
    }

    /// The operation proceeds and succeeds.
    pub(crate) fn answer(mut self) {
        self.answered = true;
        self.ledger.resumed.fetch_add(1, Ordering::Relaxed);
    }
}

impl host::Ticket<Host> for Ticket {
    fn is_read(&self) -> bool {
        true
    }

    fn truncates(&self) -> bool {
        false
    }

    fn who(&self) -> Waiter {
        who()
    }

    fn offset(&self) -> u64 {
        self.range.start
    }

    fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Compares the bytes with the file's.
    fn answer_bytes(
        self,
        buffer: &Buffer,
        part: Range<usize>,
        at_end: bool,
        attributes: &Attributes,
    ) {
        let end = self.range.end.min(attributes.size());
        let expected: Vec<u8> = (self.range.start..end).map(byte).collect();
        assert_eq!(&buffer.bytes()[part], expected, "of {:?}", self.range);
        assert_eq!(at_end, end == attributes.size());
        self.answer();
    }

    fn fail(mut self, errno: Errno) {
        self.answered = true;
        self.ledger.errno.store(errno.get(), Ordering::Relaxed);
        self.ledger.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn fail_if_asked(self, errno: Errno) {
        self.fail(errno);
    }

    /// # Panics
    /// When it has not arrived at an instance.
    fn again(mut self) {
        let home = self.home.take().expect("it has arrived");
        home.proceed(self);
    }

    /// It is answered immediately.
    fn read_again(self) {
        self.answer();
    }

    /// The bricks answer immediately.
    fn read_beside(self, reading: Reading<Chunk, Attributes>) {
        drop(reading);
        self.answer();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.answered {
            self.ledger.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The caller of every operation.
pub(crate) fn who() -> Waiter {
    Waiter {
        pid: 1,
        uid: 0,
        what: "read".into(),
    }
}
