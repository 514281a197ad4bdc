// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Operations of jobs and handshakes on a file through their own descriptor. Each blocks.

use std::ffi::CStr;
use std::ptr;

use cloudsync_format::xattr;

use super::{Child, brick};
use crate::host::attributes::Attributes;
use crate::host::dict::Dict;
use crate::host::fd::Fd;
use crate::host::inode::{Inode, Loc};
use crate::sys;
use cloudsync_logic::crash;
use cloudsync_logic::errno::Failure;

/// The result of a removal, which succeeds if the attribute does not exist.
fn removed(step: &'static str, result: i32) -> Result<(), Failure> {
    if result == -libc::ENODATA {
        return Ok(());
    }
    brick(step, result)
}

impl Child {
    /// Waits for every write that was in flight when it was called, by an empty write, which the bricks process in
    /// order with the others. See [`crate::archive`]. Where the volume keeps its own times, sets the access time to that in
    /// `accessed`, unless it is later.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn write_nothing(&self, fd: &Fd, accessed: &Attributes) -> Result<(), Failure> {
        const STEP: &str = "wait for writes";
        let _step = crash::step(STEP);
        let ask =
            Dict::asking(&[xattr::ATOMIC]).map_err(|errno| Failure::Brick { step: STEP, errno })?;
        // SAFETY: all pointers are live.
        let result = unsafe {
            sys::cs_shim_write_nothing(
                self.as_ptr(),
                fd.as_ptr(),
                ask.as_ptr(),
                &raw const accessed.0,
            )
        };
        brick(STEP, result)
    }

    /// Opens the file for reading and writing, even if it has no name any more and is only held open. `accessed`: as in
    /// [`Self::write_nothing`].
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn open(
        &self,
        inode: &Inode,
        loc: &Loc,
        accessed: Option<&Attributes>,
    ) -> Result<Fd, Failure> {
        let _step = crash::step("open");
        let fd = Fd::unopened(inode)?;
        // SAFETY: all pointers are live.
        let result = unsafe {
            let accessed = accessed.map_or(ptr::null(), |accessed| &raw const accessed.0);
            sys::cs_shim_open(self.as_ptr(), loc.as_ptr(), fd.as_ptr(), accessed)
        };
        if matches!(-result, libc::ENOENT | libc::ESTALE) {
            return Fd::anonymous(loc);
        }
        brick("open", result)?;
        // SAFETY: the child has opened it.
        unsafe { sys::cs_shim_fd_bind(fd.as_ptr()) };
        Ok(fd)
    }

    /// Sets extended attributes, in one operation.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn set(
        &self,
        fd: &Fd,
        step: &'static str,
        values: &[(&CStr, &str)],
    ) -> Result<(), Failure> {
        let _step = crash::step(step);
        let dict = Dict::new()
            .and_then(|dict| {
                values
                    .iter()
                    .try_for_each(|(name, value)| dict.set_text(name, value))
                    .map(|()| dict)
            })
            .map_err(|errno| Failure::Brick { step, errno })?;
        // SAFETY: all pointers are live.
        let result = unsafe {
            sys::syncop_fsetxattr(
                self.as_ptr(),
                fd.as_ptr(),
                dict.as_ptr(),
                0,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        brick(step, result)
    }

    /// Returns the offset of the first data on the bricks at or after `offset`; `None` if there is none, and `offset`
    /// itself if that cannot be determined.
    #[must_use]
    pub fn next_data(&self, fd: &Fd, offset: u64) -> Option<u64> {
        let mut found = 0;
        // SAFETY: all pointers are live or NULL where the host allows it.
        let result = unsafe {
            sys::syncop_seek(
                self.as_ptr(),
                fd.as_ptr(),
                i64::try_from(offset).unwrap_or(i64::MAX),
                sys::gf_seek_what_t::GF_SEEK_DATA,
                ptr::null_mut(),
                &raw mut found,
            )
        };
        match result {
            0 => Some(u64::try_from(found).unwrap_or(offset)),
            result if result == -libc::ENXIO => None,
            _ => Some(offset),
        }
    }

    /// Fills `bytes` from the bricks, whatever the file's state.
    ///
    /// # Errors
    /// [`Failure::Brick`]; [`Failure::Damaged`] if the file has fewer bytes.
    pub fn read_exact(&self, fd: &Fd, offset: u64, bytes: &mut [u8]) -> Result<(), Failure> {
        let mut done = 0;
        while done < bytes.len() {
            match self.read(fd, offset + done as u64, &mut bytes[done..])? {
                0 => return Err(Failure::Damaged("it has fewer bytes than its size")),
                more => done += more,
            }
        }
        Ok(())
    }

    fn read(&self, fd: &Fd, offset: u64, bytes: &mut [u8]) -> Result<usize, Failure> {
        let too_large = || Failure::Damaged("it is too large");
        let offset = i64::try_from(offset).map_err(|_| too_large())?;
        let size = u32::try_from(bytes.len()).map_err(|_| too_large())?;
        // SAFETY: all pointers are live; at most `size` bytes are written.
        let result = unsafe {
            sys::cs_shim_read(
                self.as_ptr(),
                fd.as_ptr(),
                bytes.as_mut_ptr().cast(),
                size,
                offset,
            )
        };
        brick("read", result)?;
        Ok(usize::try_from(result).unwrap_or(0))
    }

    /// Sets the file's size to `size` bytes, whatever its state. Returns whether that changed its modification time.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn resize(&self, fd: &Fd, step: &'static str, size: u64) -> Result<bool, Failure> {
        let _step = crash::step(step);
        let size = i64::try_from(size).map_err(|_| Failure::Damaged("it is too large"))?;
        let (mut before, mut after) = (Attributes::blank(), Attributes::blank());
        // SAFETY: all pointers are live or NULL where the host allows it.
        let result = unsafe {
            sys::syncop_ftruncate(
                self.as_ptr(),
                fd.as_ptr(),
                size,
                &raw mut before.0,
                &raw mut after.0,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        brick(step, result)?;
        Ok(before.mtime() != after.mtime())
    }

    /// Removes an extended attribute. Succeeds if it does not exist.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn remove(&self, fd: &Fd, step: &'static str, name: &CStr) -> Result<(), Failure> {
        let _step = crash::step(step);
        // SAFETY: all pointers are live.
        let result = unsafe {
            sys::syncop_fremovexattr(
                self.as_ptr(),
                fd.as_ptr(),
                name.as_ptr(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        removed(step, result)
    }

    /// The same. With features.ctime, the file's ctime becomes now.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn remove_as_change(
        &self,
        fd: &Fd,
        step: &'static str,
        name: &CStr,
    ) -> Result<(), Failure> {
        let _step = crash::step(step);
        // SAFETY: all pointers are live.
        let result =
            unsafe { sys::cs_shim_remove_as_change(self.as_ptr(), fd.as_ptr(), name.as_ptr()) };
        removed(step, result)
    }

    /// Removes extended attributes in one operation, in any order. Succeeds if some do not exist. (A removexattr with
    /// an empty name removes the names in its xdata: `posix_is_bulk_removexattr`.)
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn remove_all(&self, fd: &Fd, step: &'static str, names: &[&CStr]) -> Result<(), Failure> {
        let _step = crash::step(step);
        let dict = Dict::asking(names).map_err(|errno| Failure::Brick { step, errno })?;
        // SAFETY: all pointers are live or NULL where the host allows it.
        let result = unsafe {
            sys::syncop_fremovexattr(
                self.as_ptr(),
                fd.as_ptr(),
                c"".as_ptr(),
                dict.as_ptr(),
                ptr::null_mut(),
            )
        };
        brick(step, result)
    }

    /// Waits until everything written is on the bricks' disks. With `last-fsync`, a replicated volume also records
    /// immediately which bricks have it. Otherwise it does so a second later, if the client is still alive; if not, a
    /// brick that was disconnected could be taken for the correct one. Returns the attributes in the answer.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn fsync(&self, fd: &Fd) -> Result<Attributes, Failure> {
        let step = "fsync";
        let _step = crash::step(step);
        let last = Dict::new().and_then(|dict| dict.set_flag(c"last-fsync").map(|()| dict));
        let last = last.map_err(|errno| Failure::Brick { step, errno })?;
        let mut now = Attributes::blank();
        // SAFETY: all pointers are live or NULL where the host allows it.
        let result = unsafe {
            sys::syncop_fsync(
                self.as_ptr(),
                fd.as_ptr(),
                0,
                ptr::null_mut(),
                &raw mut now.0,
                last.as_ptr(),
                ptr::null_mut(),
            )
        };
        brick(step, result)?;
        Ok(now)
    }

    /// Sets the access and modification times to those in `attributes`.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn set_times(&self, fd: &Fd, attributes: &Attributes) -> Result<(), Failure> {
        let _step = crash::step("restore the times");
        let mut wanted = *attributes;
        let which = sys::GF_SET_ATTR_ATIME | sys::GF_SET_ATTR_MTIME;
        // SAFETY: all pointers are live or NULL where the host allows it.
        let result = unsafe {
            sys::syncop_fsetattr(
                self.as_ptr(),
                fd.as_ptr(),
                &raw mut wanted.0,
                which.cast_signed(),
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        brick("restore the times", result)
    }
}
