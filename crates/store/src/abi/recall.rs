// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The frame of `fop_download`, as the volume that a recall writes to.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::{CallFrame, Host, Xlator};
use crate::acks::Acks;
use crate::writer::{Buffer, Volume};

#[repr(C)]
struct IoBuf([u8; 0]);

/// `struct css_write`: the part of a write in flight that C knows.
#[repr(C)]
struct WriteHead {
    done: unsafe extern "C" fn(*mut Self, i32, i32),
}

/// A write in flight. Its first field is the head, so that a pointer to one is a pointer to the other.
#[repr(C)]
struct Write {
    head: WriteHead,
    size: usize,
    acks: Arc<Acks>,
}

unsafe extern "C" {
    fn css_frame_xlator(frame: *mut CallFrame) -> *mut Xlator;
    fn css_frame_key(frame: *mut CallFrame) -> *const c_char;
    fn css_frame_version(frame: *mut CallFrame) -> *const c_char;
    fn css_frame_size(frame: *mut CallFrame) -> u64;
    fn css_frame_cancelled(frame: *mut CallFrame) -> c_int;
    fn css_frame_fail(frame: *mut CallFrame, op_errno: c_int);
    fn css_buffer_new(this: *mut Xlator, size: usize) -> *mut IoBuf;
    fn css_buffer_bytes(buffer: *mut IoBuf) -> *mut c_void;
    fn css_buffer_free(buffer: *mut IoBuf);
    fn css_frame_writev(
        frame: *mut CallFrame,
        buffer: *mut IoBuf,
        size: usize,
        offset: libc::off_t,
        write: *mut WriteHead,
    ) -> c_int;
}

/// The frame of a recall.
pub(crate) struct Recall(NonNull<CallFrame>);

impl Recall {
    /// # Safety
    /// `frame` is what a translator passed to `fop_download`, used on the calling thread until that returns.
    pub(crate) unsafe fn from_raw(frame: *mut CallFrame) -> Option<Self> {
        NonNull::new(frame).map(Self)
    }

    /// The translator that called.
    pub(crate) fn host(&self) -> Option<Host> {
        // SAFETY: `from_raw`'s caller keeps the frame alive, and the frame's translator outlives it.
        unsafe { Host::from_raw(css_frame_xlator(self.0.as_ptr())) }
    }

    /// The object's key.
    pub(crate) fn key(&self) -> Option<&CStr> {
        // SAFETY: `from_raw`'s caller keeps the frame alive, and with it the cs_local_t that it carries.
        let key = unsafe { css_frame_key(self.0.as_ptr()) };
        // SAFETY: it is a string of the cs_local_t, or NULL.
        unsafe { self.string(key) }
    }

    /// The required version of the object, if known.
    pub(crate) fn version(&self) -> Option<&CStr> {
        // SAFETY: as in `key`.
        let version = unsafe { css_frame_version(self.0.as_ptr()) };
        // SAFETY: it is a string of the cs_local_t, or NULL.
        unsafe { self.string(version) }
    }

    /// # Safety
    /// `string` is NULL or lives as long as the frame.
    unsafe fn string(&self, string: *const c_char) -> Option<&CStr> {
        // SAFETY: the caller guarantees the string, which the borrow of `self` does not outlive.
        (!string.is_null()).then(|| unsafe { CStr::from_ptr(string) })
    }

    /// The size of the file in bytes.
    pub(crate) fn size(&self) -> u64 {
        // SAFETY: as in `key`.
        unsafe { css_frame_size(self.0.as_ptr()) }
    }

    /// Sets the errno of the waiting operation; 0 for success.
    pub(crate) fn fail(&self, errno: i32) {
        // SAFETY: as in `key`.
        unsafe { css_frame_fail(self.0.as_ptr(), errno) };
    }
}

impl Volume for Recall {
    type Buffer = HostBuffer;

    fn buffer(&self, size: usize) -> Result<HostBuffer, i32> {
        let host = self.host().ok_or(libc::EINVAL)?;
        // SAFETY: the translator is alive and its ctx has a pool of buffers.
        let buffer = unsafe { css_buffer_new(host.0.as_ptr(), size) };
        NonNull::new(buffer)
            .map(|iobuf| HostBuffer { iobuf, size })
            .ok_or(libc::ENOMEM)
    }

    fn write(
        &self,
        buffer: HostBuffer,
        size: usize,
        offset: u64,
        acks: &Arc<Acks>,
    ) -> Result<(), i32> {
        let offset = libc::off_t::try_from(offset).map_err(|_| libc::EFBIG)?;
        let size = size.min(buffer.size);
        // Ownership of this pointer: C calls `written` with it once, which frees it; or C returns an error, and it is
        // still ours.
        let write = Box::into_raw(Box::new(Write {
            head: WriteHead { done: written },
            size,
            acks: Arc::clone(acks),
        }));
        // SAFETY: `from_raw`'s caller keeps the frame alive; the buffer has `size` bytes, and C takes a reference of its own.
        let errno = unsafe {
            css_frame_writev(
                self.0.as_ptr(),
                buffer.iobuf.as_ptr(),
                size,
                offset,
                write.cast(),
            )
        };
        if errno != 0 {
            // SAFETY: after an error C has not passed the pointer on.
            drop(unsafe { Box::from_raw(write) });
            return Err(errno);
        }
        Ok(())
    }

    fn cancelled(&self) -> bool {
        // SAFETY: as in `key`.
        (unsafe { css_frame_cancelled(self.0.as_ptr()) }) != 0
    }
}

unsafe extern "C" fn written(write: *mut WriteHead, op_ret: i32, op_errno: i32) {
    // SAFETY: `Recall::write` passed this box to C, which calls back once.
    let write = unsafe { Box::from_raw(write.cast::<Write>()) };
    write.acks.end(match usize::try_from(op_ret) {
        Ok(size) if size == write.size => Ok(()),
        // A short write is a failure, because it would leave a hole in the file.
        Ok(_) => Err(libc::EIO),
        Err(_) => Err(if op_errno > 0 { op_errno } else { libc::EIO }),
    });
}

/// An iobuf of the host that is not shared yet.
pub(crate) struct HostBuffer {
    iobuf: NonNull<IoBuf>,
    size: usize,
}

impl Buffer for HostBuffer {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        assert!(
            at.checked_add(bytes.len())
                .is_some_and(|end| end <= self.size),
            "buffer too small"
        );
        // SAFETY: the reference that this value holds keeps the iobuf alive.
        let start = unsafe { css_buffer_bytes(self.iobuf.as_ptr()) }.cast::<u8>();
        // SAFETY: the iobuf has at least `size` bytes, and the assertion keeps `at` within them.
        let to = unsafe { start.add(at) };
        // SAFETY: there is space for `bytes` as asserted, nobody else uses the new iobuf, and it cannot overlap a
        // slice.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }
}

impl Drop for HostBuffer {
    fn drop(&mut self) {
        // SAFETY: releases the reference that css_buffer_new returned.
        unsafe { css_buffer_free(self.iobuf.as_ptr()) };
    }
}
