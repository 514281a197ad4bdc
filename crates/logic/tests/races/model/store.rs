// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A store with one object, whose bytes are computed from their offsets. It can fail or stall.

use std::ffi::CStr;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use cloudsync_format::checksum::Checksum;
use shuttle::thread::yield_now;

use cloudsync_logic::errno::Errno;
use cloudsync_logic::store::{self, Object, Part, Sink};

/// The byte at `at` of every object.
#[must_use]
pub(crate) fn byte(at: u64) -> u8 {
    u8::try_from(at * 7 % 251).unwrap_or(0)
}

/// A store with one object.
#[derive(Debug)]
pub(crate) struct Store {
    /// The object's bytes.
    pub(crate) size: u64,
    /// The checksum that the store reports for the object.
    pub(crate) checksum: Option<Checksum>,
    /// The offset at which a request fails, and how many requests are yet to fail there.
    pub(crate) fails: (u64, AtomicUsize),
    /// Requests deliver nothing until they are no longer wanted.
    pub(crate) stalls: bool,
    /// How often each byte was delivered.
    pub(crate) delivered: Mutex<Vec<u32>>,
    /// Number of running requests.
    pub(crate) at_work: AtomicUsize,
}

impl Store {
    /// A store that works.
    #[must_use]
    pub(crate) const fn new(size: u64) -> Self {
        Self {
            size,
            checksum: None,
            fails: (0, AtomicUsize::new(0)),
            stalls: false,
            delivered: Mutex::new(Vec::new()),
            at_work: AtomicUsize::new(0),
        }
    }

    fn deliver(&self, range: Range<u64>, sink: &mut dyn Sink) -> Result<(), Errno> {
        let (place, times) = &self.fails;
        let fewer = |times: usize| times.checked_sub(1);
        if range.contains(place)
            && times
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
                .is_ok()
        {
            return Err(Errno::EIO);
        }
        if sink.cancelled() {
            return Err(Errno::ECANCELED);
        }
        let mut delivered = self
            .delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        delivered.resize(usize::try_from(self.size).unwrap_or(0), 0);
        for count in delivered
            .iter_mut()
            .take(usize::try_from(range.end).unwrap_or(0))
            .skip(usize::try_from(range.start).unwrap_or(0))
        {
            *count += 1;
        }
        drop(delivered);
        let bytes: Vec<u8> = range.map(byte).collect();
        sink.write(&bytes)
    }
}
impl store::Store for Store {
    fn head(&self, _: &CStr) -> Result<Option<Object>, Errno> {
        yield_now();
        Ok(Some(Object {
            size: self.size,
            etag: String::from("one"),
            checksum: self.checksum,
        }))
    }

    /// Delivers bytes, three at a time.
    fn fetch(&self, part: &Part<'_>, sink: &mut dyn Sink) -> Result<(), Errno> {
        self.at_work.fetch_add(1, Ordering::SeqCst);
        let mut at = part.range.start;
        let mut result = Ok(());
        // Some answers contain it, others do not.
        if at == 0
            && let Ok(Some(object)) = self.head(part.key)
        {
            sink.describe(object);
        }
        while self.stalls && !sink.cancelled() {
            yield_now();
        }
        while at < part.range.end && result.is_ok() {
            let end = part.range.end.min(at + 3);
            yield_now();
            result = self.deliver(at..end, sink);
            at = end;
        }
        self.at_work.fetch_sub(1, Ordering::SeqCst);
        result
    }
}
