// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Memory of the host's (an iobuf), which a write carries to the bricks and an answer carries up without another copy.

use std::ops::Range;
use std::ptr::{self, NonNull};

use crate::host::fd::Fd;
use crate::host::write::{self, InFlight};
use crate::host::xlator::Xlator;
use crate::sys;
use cloudsync_logic::errno::Errno;

/// An iobuf, filled from its beginning on.
#[derive(Debug)]
pub struct Buffer {
    raw: NonNull<sys::iobuf>,
    size: usize,
    filled: usize,
}

// SAFETY: the host counts its iobufs' references under locks of theirs; the bytes are written through `&mut` only.
unsafe impl Send for Buffer {}
// SAFETY: as above: through a shared handle the bytes are only read.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// An empty buffer with room for `size` bytes, from the pool of the host.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new(this: Xlator, size: usize) -> Result<Self, Errno> {
        // SAFETY: live; its context has a pool.
        let raw = unsafe { sys::cs_shim_buffer_new(this.as_ptr(), size) };
        NonNull::new(raw)
            .map(|raw| Self {
                raw,
                size,
                filled: 0,
            })
            .ok_or(Errno::ENOMEM)
    }

    pub(crate) const fn as_ptr(&self) -> *mut sys::iobuf {
        self.raw.as_ptr()
    }

    fn start(&self) -> *mut u8 {
        // SAFETY: our reference keeps the buffer alive.
        unsafe { sys::cs_shim_buffer_bytes(self.as_ptr()) }.cast()
    }

    /// How many bytes there is room for.
    #[must_use]
    pub const fn room(&self) -> usize {
        self.size - self.filled
    }

    /// Adds a copy of `bytes` behind what is there. The caller stays inside the room.
    pub fn push(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "buffer too small");
        // SAFETY: `filled` is within the buffer.
        let to = unsafe { self.start().add(self.filled) };
        // SAFETY: there is room as asserted, nobody else uses the buffer, and it cannot overlap a slice.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        self.filled += bytes.len();
    }

    /// What is in it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes were written; nobody writes while the handle is shared.
        unsafe { std::slice::from_raw_parts(self.start(), self.filled) }
    }

    /// Writes `part` of it to the file at `offset`; `write` hears of the answer. `urgent`: somebody waits; otherwise the
    /// bricks may let it wait.
    ///
    /// # Errors
    /// Nothing was sent: ENOMEM. `write` has heard of that too.
    pub fn write(
        &self,
        this: Xlator,
        fd: &Fd,
        part: Range<usize>,
        offset: u64,
        urgent: bool,
        write: Box<dyn InFlight>,
    ) -> Result<(), Errno> {
        assert!(
            part.start <= part.end && part.end <= self.filled,
            "no such part"
        );
        let Ok(offset) = i64::try_from(offset) else {
            write.end(Err(Errno::EINVAL), false);
            return Err(Errno::EINVAL);
        };
        // SAFETY: all pointers are live, the part is within the buffer; the shim takes references of its own, and gives
        // `write` back to write::end, once.
        let errno = unsafe {
            sys::cs_shim_write(
                this.as_ptr(),
                fd.as_ptr(),
                self.as_ptr(),
                part.start,
                part.len(),
                offset,
                urgent.into(),
                write::begin(write).as_ptr(),
            )
        };
        if errno == 0 {
            Ok(())
        } else {
            Err(Errno::new(errno))
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: gives back the reference that the constructor got.
        unsafe { sys::cs_shim_buffer_free(self.as_ptr()) };
    }
}
