// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Memory of the host's that a write carries to the bricks without another copy.

use std::ptr::{self, NonNull};

use crate::errno::Errno;
use crate::host::child::Fd;
use crate::host::xlator::Xlator;
use crate::sys;

/// An iobuf that nobody else has yet.
#[derive(Debug)]
pub struct Buffer {
    raw: NonNull<sys::iobuf>,
    size: usize,
}

impl Buffer {
    /// A buffer of at least `size` bytes, from the pool of the host.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new(this: Xlator, size: usize) -> Result<Self, Errno> {
        // SAFETY: live; its context has a pool.
        let raw = unsafe { sys::cs_shim_buffer_new(this.as_ptr(), size) };
        NonNull::new(raw)
            .map(|raw| Self { raw, size })
            .ok_or(Errno::ENOMEM)
    }

    /// Copies `bytes` to `at`. The caller stays inside the size that it asked for.
    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        let fits = at
            .checked_add(bytes.len())
            .is_some_and(|end| end <= self.size);
        assert!(fits, "buffer too small");
        // SAFETY: our reference keeps the buffer alive.
        let start = unsafe { sys::cs_shim_buffer_bytes(self.raw.as_ptr()) }.cast::<u8>();
        // SAFETY: the buffer has `size` bytes, and the assertion keeps `at` within them.
        let to = unsafe { start.add(at) };
        // SAFETY: there is room as asserted, nobody else uses the buffer, and it cannot overlap a slice.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// Writes the first `size` bytes to the file at `offset`, through the tracker of the recall that has `fd` open: it
    /// blocks while too much is in flight, and hears of the answer.
    ///
    /// # Errors
    /// The tracker's, and ENOMEM.
    pub fn write(&self, this: Xlator, fd: &Fd, size: usize, offset: u64) -> Result<(), Errno> {
        let offset = i64::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let size = size.min(self.size);
        // SAFETY: all pointers are live; the shim takes references of its own.
        let errno = unsafe {
            sys::cs_shim_write(this.as_ptr(), fd.as_ptr(), self.raw.as_ptr(), size, offset)
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
        unsafe { sys::cs_shim_buffer_free(self.raw.as_ptr()) };
    }
}
