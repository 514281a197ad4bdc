// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A part of an object to fetch, and the translator's sink for it: `cs_fetch_t`.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ops::Range;

use super::ObjectOut;
use crate::{Object, Sink, StoreError};

/// `cs_fetch_t` of include/cloudsync-common.h.
#[repr(C)]
#[derive(Debug)]
pub struct FetchIn {
    key: *const c_char,
    version: *const c_char,
    size: u64,
    offset: u64,
    length: u64,
    write: Option<unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> c_int>,
    cancelled: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    sink: *mut c_void,
    describe: Option<unsafe extern "C" fn(*mut c_void, *const ObjectOut)>,
    throttled: Option<unsafe extern "C" fn(*mut c_void)>,
    may_restore: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    waits: Option<unsafe extern "C" fn(*mut c_void, c_int) -> c_int>,
}

const _: () = assert!(size_of::<FetchIn>() == 96);

/// A part to fetch, for the duration of one call.
pub(crate) struct Part<'a> {
    raw: &'a FetchIn,
    taken: u64,
}

impl Part<'_> {
    /// # Safety
    /// `raw` is NULL, or what a translator passed to `fetch`: the structure, its strings and its sink outlive the
    /// value, which stays on the thread of the call.
    pub(crate) unsafe fn from_raw(raw: *const FetchIn) -> Option<Self> {
        // SAFETY: guaranteed by the caller.
        unsafe { raw.as_ref() }.map(|raw| Self { raw, taken: 0 })
    }

    /// The object's key.
    pub(crate) fn key(&self) -> &CStr {
        // SAFETY: `from_raw`'s caller guarantees the string.
        unsafe { string(self.raw.key) }.unwrap_or_default()
    }

    /// The required version, or `None` if any will do.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if it has other than printable characters: no store returns such an etag, and it goes
    /// into a header.
    pub(crate) fn version(&self) -> Result<Option<&str>, StoreError> {
        // SAFETY: as above.
        let Some(version) = (unsafe { string(self.raw.version) }) else {
            return Ok(None);
        };
        let text = version.to_str().ok();
        let printable = text.filter(|text| text.chars().all(|c| matches!(c, ' '..='~')));
        printable
            .map(Some)
            .ok_or_else(|| StoreError::Changed(format!("{version:?} is not a valid etag")))
    }

    /// Size of the whole object in bytes.
    pub(crate) const fn size(&self) -> u64 {
        self.raw.size
    }

    /// The requested bytes; `None` if the range is empty or not within the object.
    pub(crate) fn range(&self) -> Option<Range<u64>> {
        let end = self.raw.offset.checked_add(self.raw.length)?;
        (self.raw.length > 0 && end <= self.raw.size).then_some(self.raw.offset..end)
    }

    /// Checks that every byte has arrived.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if not.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.taken == self.raw.length {
            return Ok(());
        }
        let (taken, length) = (self.taken, self.raw.length);
        Err(StoreError::Corrupt(format!(
            "only {taken} of {length} bytes arrived"
        )))
    }
}

/// # Safety
/// `raw` is NULL or a string that outlives the value.
unsafe fn string<'a>(raw: *const c_char) -> Option<&'a CStr> {
    // SAFETY: guaranteed by the caller.
    (!raw.is_null()).then(|| unsafe { CStr::from_ptr(raw) })
}

impl Sink for Part<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() as u64 > self.raw.length - self.taken {
            let length = self.raw.length;
            return Err(StoreError::Corrupt(format!(
                "more than {length} bytes arrived"
            )));
        }
        let write = self.raw.write.ok_or(StoreError::Sink(libc::EINVAL))?;
        // SAFETY: the translator's own function, with its own sink and this number of bytes.
        let errno = unsafe { write(self.raw.sink, bytes.as_ptr().cast(), bytes.len()) };
        match errno {
            0 => {
                self.taken += bytes.len() as u64;
                Ok(())
            }
            libc::ECANCELED => Err(StoreError::Cancelled),
            errno => Err(StoreError::Sink(errno)),
        }
    }

    fn cancelled(&self) -> bool {
        // SAFETY: as above.
        self.raw
            .cancelled
            .is_some_and(|cancelled| (unsafe { cancelled(self.raw.sink) }) != 0)
    }

    fn describe(&mut self, object: &Object) {
        if let Some(describe) = self.raw.describe {
            let object = ObjectOut::of(object);
            // SAFETY: as above; the object is copied.
            unsafe { describe(self.raw.sink, &raw const object) };
        }
    }

    fn throttled(&mut self) {
        if let Some(throttled) = self.raw.throttled {
            // SAFETY: as above.
            unsafe { throttled(self.raw.sink) };
        }
    }

    fn may_restore(&mut self) -> bool {
        // SAFETY: as above.
        self.raw
            .may_restore
            .is_none_or(|may_restore| (unsafe { may_restore(self.raw.sink) }) != 0)
    }

    fn waits(&mut self, begins: bool) -> bool {
        // SAFETY: as above.
        self.raw
            .waits
            .is_none_or(|waits| (unsafe { waits(self.raw.sink, begins.into()) }) != 0)
    }
}
