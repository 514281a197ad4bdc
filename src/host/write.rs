// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A recall's write in flight to the bricks, which reports its answer to the tracker; and a plugin's write, which waits for
//! its answer.

use std::ffi::c_void;
use std::ptr::NonNull;

use crate::host::guard;
use crate::sys;
use cloudsync_logic::crash;
use cloudsync_logic::errno::Errno;

/// A write in flight.
pub trait InFlight: Send {
    /// The write was answered. `result`: the number of bytes written, or the errno. `moved_mtime`: whether the write
    /// changed the file's mtime.
    fn end(self: Box<Self>, result: Result<u64, Errno>, moved_mtime: bool);
}

/// Begins the write. Returns the pointer that C passes to [`end`].
pub(crate) fn begin(write: Box<dyn InFlight>) -> NonNull<c_void> {
    crash::before("write");
    NonNull::from(Box::leak(Box::new(write))).cast()
}

/// Called by C when the write was answered.
pub(crate) unsafe extern "C" fn end(
    write: *mut c_void,
    op_ret: i32,
    op_errno: i32,
    before: *mut sys::iatt,
    after: *mut sys::iatt,
) {
    let Some(write) = NonNull::new(write) else {
        return;
    };
    guard::catch((), || {
        // SAFETY: `begin` leaked it; C passes each pointer to us once.
        let write = unsafe { Box::from_raw(write.cast::<Box<dyn InFlight>>().as_ptr()) };
        let result = u64::try_from(op_ret).map_err(|_| Errno::new(op_errno));
        // SAFETY: NULL, or variables of the shim.
        let times = unsafe { before.as_ref() }.zip(unsafe { after.as_ref() });
        let moved = times.is_some_and(|(before, after)| {
            (before.ia_mtime, before.ia_mtime_nsec) != (after.ia_mtime, after.ia_mtime_nsec)
        });
        write.end(result, moved);
        crash::after("write");
    });
}

/// A plugin's write, which must be answered once. Dropping it answers EIO.
#[derive(Debug)]
pub struct PluginWrite(Option<NonNull<sys::call_frame_t>>);

impl PluginWrite {
    /// # Safety
    /// `frame` is that of a write which nothing else answers.
    pub(crate) unsafe fn take(frame: *mut sys::call_frame_t) -> Option<Self> {
        NonNull::new(frame).map(Some).map(Self)
    }

    /// Answers it: with the number of bytes written, or an error. The plugin's callback runs before this returns.
    pub fn answer(mut self, result: Result<u64, Errno>) {
        self.answer_once(result);
    }

    fn answer_once(&mut self, result: Result<u64, Errno>) {
        let (written, errno) = match result {
            Ok(written) => (i32::try_from(written).unwrap_or(i32::MAX), 0),
            Err(errno) => (-1, errno.get()),
        };
        if let Some(frame) = self.0.take() {
            // SAFETY: ours, and answered once.
            unsafe { sys::cs_shim_answer_write(frame.as_ptr(), written, errno) };
        }
    }
}

impl Drop for PluginWrite {
    fn drop(&mut self) {
        self.answer_once(Err(Errno::EIO));
    }
}
