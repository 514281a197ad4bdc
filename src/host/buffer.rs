// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A buffer from the host's pool (an iobuf), which writes and answers can pass on without copying.

pub mod spare;

use std::ops::Range;
use std::ptr::{self, NonNull};

use self::spare::SPARES;

use crate::host::fd::Fd;
use crate::host::write::{self, InFlight};
use crate::host::xlator::Xlator;
use crate::sys;
use cloudsync_logic::errno::Errno;

/// An iobuf that is filled from its start.
#[derive(Debug)]
pub struct Buffer {
    raw: NonNull<sys::iobuf>,
    this: Xlator,
    size: usize,
    filled: usize,
}

// SAFETY: the host counts its iobufs' references under locks of theirs; the bytes are written through `&mut` only.
unsafe impl Send for Buffer {}
// SAFETY: as above: through a shared handle the bytes are only read.
unsafe impl Sync for Buffer {}

/// How [`Buffer::write`] writes.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// An operation waits for it. Otherwise the bricks give it low priority.
    pub urgent: bool,
    /// It sets the time of the file's last access, on a volume that keeps its own times.
    pub accesses: bool,
}

impl How {
    const fn flags(self) -> u32 {
        let urgent = if self.urgent { sys::CS_URGENT } else { 0 };
        let access = if self.accesses { sys::CS_ACCESS } else { 0 };
        urgent | access
    }
}

impl Buffer {
    /// Allocates an empty buffer for `size` bytes from the host's pool.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new(this: Xlator, size: usize) -> Result<Self, Errno> {
        let spare = SPARES.take(this, size);
        let capacity = spare::capacity(size);
        // SAFETY: live; its context has a pool.
        let new = || NonNull::new(unsafe { sys::cs_shim_buffer_new(this.as_ptr(), capacity) });
        Ok(Self {
            raw: spare.or_else(new).ok_or(Errno::ENOMEM)?,
            this,
            size,
            filled: 0,
        })
    }

    pub(crate) const fn as_ptr(&self) -> *mut sys::iobuf {
        self.raw.as_ptr()
    }

    fn start(&self) -> *mut u8 {
        // SAFETY: our reference keeps the buffer alive.
        unsafe { sys::cs_shim_buffer_bytes(self.as_ptr()) }.cast()
    }

    /// The number of bytes that can still be added.
    #[must_use]
    pub const fn room(&self) -> usize {
        self.size - self.filled
    }

    /// Appends a copy of `bytes`. Panics if there is not enough room.
    pub fn push(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "buffer too small");
        // SAFETY: `filled` is within the buffer.
        let to = unsafe { self.start().add(self.filled) };
        // SAFETY: there is room as asserted, nothing else uses the buffer, and it cannot overlap a slice.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        self.filled += bytes.len();
    }

    /// The bytes added so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the first `filled` bytes were written; nothing writes while the handle is shared.
        unsafe { std::slice::from_raw_parts(self.start(), self.filled) }
    }

    /// Writes `part` of the buffer to the file at `offset`; `write` is notified of the answer.
    ///
    /// # Errors
    /// ENOMEM or EINVAL: nothing was sent. `write` is notified of that too.
    pub fn write(
        &self,
        this: Xlator,
        fd: &Fd,
        part: Range<usize>,
        offset: u64,
        how: How,
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
        // SAFETY: all pointers are live, the part is within the buffer; the shim takes its own references, and passes
        // `write` to write::end exactly once.
        let errno = unsafe {
            sys::cs_shim_write(
                this.as_ptr(),
                fd.as_ptr(),
                self.as_ptr(),
                part.start,
                part.len(),
                offset,
                how.flags(),
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
        // SAFETY: the constructor's reference, which is not used again.
        unsafe { SPARES.give(self.this, self.size, self.raw) };
    }
}
