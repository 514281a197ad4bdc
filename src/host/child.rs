// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Our own operations on the child, for jobs. Each blocks until the bricks have answered, so it must not be called on a
//! thread of the host. This module has queries and locks; [`file`] has the operations that change a file.

mod file;
mod room;

use std::ffi::CStr;
use std::ptr;
use std::thread;

use cloudsync_format::xattr;

pub use self::room::Room;
use crate::host::attributes::Attributes;
use crate::host::dict::Dict;
use crate::host::fd::Fd;
use crate::host::inode::Loc;
use crate::host::ticket::Ticket;
use crate::host::xlator::{Entered, Xlator};
use crate::sys;
use cloudsync_logic::crash;
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::status::{self, Reading};

/// The child of an instance, as used by one of our threads.
#[derive(Debug)]
pub struct Child {
    raw: Xlator,
    _entered: Entered,
}

/// A file's state, as the bricks report it.
pub type Status = status::Status<Attributes>;

fn brick(step: &'static str, result: i32) -> Result<(), Failure> {
    if result < 0 {
        Err(Failure::Brick {
            step,
            errno: Errno::new(result),
        })
    } else {
        Ok(())
    }
}

impl Child {
    /// Enters `this` on the calling thread, as root exempt from root squashing and with a lock owner unique to the job
    /// (`token`: an address that is unique while the job runs).
    #[must_use]
    pub fn enter(this: Xlator, token: *const ()) -> Option<Self> {
        let entered = this.enter();
        // SAFETY: sets thread-locals of the host; the token is used as a number only.
        unsafe { sys::cs_shim_become(token.cast_mut().cast()) };
        Some(Self {
            raw: this.first_child()?,
            _entered: entered,
        })
    }

    const fn as_ptr(&self) -> *mut sys::xlator_t {
        self.raw.as_ptr()
    }

    /// Takes the lock that serialises archive and recall of the file among all clients, if it is free.
    ///
    /// # Errors
    /// [`Failure::Locked`], [`Failure::Brick`].
    pub fn try_lock(&self, loc: &Loc) -> Result<(), Failure> {
        match self.inodelk(loc, sys::CS_TRY_LOCK) {
            result if result == -libc::EAGAIN => Err(Failure::Locked),
            result => brick("lock", result),
        }
    }

    /// Takes the lock again without waiting: see [`cloudsync_logic::protocol::lease`].
    ///
    /// # Errors
    /// [`Failure::Brick`], with EAGAIN if another client holds it.
    pub fn lock_again(&self, loc: &Loc) -> Result<(), Failure> {
        brick("lock again", self.inodelk(loc, sys::CS_TRY_LOCK))
    }

    /// Releases the lock once.
    ///
    /// # Errors
    /// [`Failure::Brick`]: a brick has lost the lock.
    pub fn unlock(&self, loc: &Loc) -> Result<(), Failure> {
        brick("unlock", self.inodelk(loc, sys::CS_UNLOCK))
    }

    fn inodelk(&self, loc: &Loc, how: u32) -> i32 {
        // SAFETY: child and loc are live; blocks until the bricks answer.
        unsafe {
            sys::cs_shim_lock(
                self.as_ptr(),
                xattr::LOCK_DOMAIN.as_ptr(),
                loc.as_ptr(),
                how,
            )
        }
    }

    /// Returns extended attributes of the file; `None` for one that the file does not have.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn attributes<const N: usize>(
        &self,
        loc: &Loc,
        names: [&CStr; N],
    ) -> Result<[Option<Vec<u8>>; N], Failure> {
        let (_, answer) = self.stat(loc, &names)?;
        Ok(names.map(|name| answer.as_ref()?.borrow().bytes(name)))
    }

    /// Returns the gfid of the file that an operation's descriptor is open on.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn identity(&self, ticket: &Ticket) -> Result<Gfid, Failure> {
        let mut attributes = Attributes::blank();
        // SAFETY: child and descriptor are live; NULL means no dictionaries.
        let result = unsafe {
            sys::syncop_fstat(
                self.as_ptr(),
                ticket.descriptor(),
                &raw mut attributes.0,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        brick("ask for its identity", result)?;
        Ok(attributes.gfid())
    }

    /// Sets an extended attribute with the identity of the caller of `ticket`, whom the bricks may refuse.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn set_as_caller(
        &self,
        ticket: &Ticket,
        loc: &Loc,
        step: &'static str,
        name: &CStr,
        value: &str,
    ) -> Result<(), Failure> {
        let _step = crash::step(step);
        let dict = Dict::new().and_then(|dict| dict.set_text(name, value).map(|()| dict));
        let dict = dict.map_err(|errno| Failure::Brick { step, errno })?;
        // SAFETY: all pointers are live; the frame lives until the ticket is answered.
        let result =
            unsafe { sys::cs_shim_set_as_caller(ticket.frame(), loc.as_ptr(), dict.as_ptr()) };
        brick(step, result)
    }

    /// Queries the file's state, size and keys.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn status(&self, loc: &Loc) -> Result<Status, Failure> {
        let ask = || {
            let (attributes, answer) = self.stat(loc, status::MARKS)?;
            let answer = answer.as_ref().map(Dict::borrow);
            Status::of(attributes, |name| answer.and_then(|dict| dict.bytes(name)))
        };
        status::untorn(ask, thread::sleep)
    }

    fn stat(&self, loc: &Loc, ask: &[&CStr]) -> Result<(Attributes, Option<Dict>), Failure> {
        let ask = Dict::asking(ask).map_err(|errno| Failure::Brick {
            step: "stat",
            errno,
        })?;
        let mut attributes = Attributes::blank();
        let mut answer = ptr::null_mut();
        // SAFETY: all pointers are live; `answer` becomes ours.
        let result = unsafe {
            sys::syncop_stat(
                self.as_ptr(),
                loc.as_ptr(),
                &raw mut attributes.0,
                ask.as_ptr(),
                &raw mut answer,
            )
        };
        // SAFETY: NULL or a reference that syncop gives away.
        let mut answer = unsafe { Dict::from_raw(answer) };
        let mut result = result;
        // The file has no name any more, or none that this client knows, but it may be open.
        if matches!(-result, libc::ENOENT | libc::ESTALE | libc::EINVAL)
            && let Some(fd) = Fd::of(loc)
        {
            let mut other = ptr::null_mut();
            // SAFETY: as above.
            let again = unsafe {
                sys::syncop_fstat(
                    self.as_ptr(),
                    fd.as_ptr(),
                    &raw mut attributes.0,
                    ask.as_ptr(),
                    &raw mut other,
                )
            };
            // SAFETY: as above.
            let other = unsafe { Dict::from_raw(other) };
            // The descriptor may not be open on the bricks: open-behind opens late, and if another client has removed the
            // file, never. Then the kernel must look the file up again.
            if matches!(-again, libc::EBADF | libc::EBADFD) {
                result = -libc::ESTALE;
            } else {
                (result, answer) = (again, other);
            }
        }
        brick("stat", result)?;
        Ok((attributes, answer))
    }

    /// Looks the file up, which makes a replicated volume query every brick for pending heals of the others.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn look_up(&self, loc: &Loc) -> Result<(), Failure> {
        let _step = crash::step("look up");
        let mut attributes = Attributes::blank();
        // SAFETY: all pointers are live or NULL where the host allows it.
        let result = unsafe {
            sys::syncop_lookup(
                self.as_ptr(),
                loc.as_ptr(),
                &raw mut attributes.0,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        brick("look up", result)
    }

    /// Tests by reading a byte whether the bricks check a file's state before reading.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn try_to_read(&self, fd: &Fd) -> Result<Reading, Failure> {
        const STEP: &str = "try to read";
        let _step = crash::step(STEP);
        let ask =
            Dict::asking(&[xattr::STATUS]).map_err(|errno| Failure::Brick { step: STEP, errno })?;
        let mut answer = ptr::null_mut();
        // SAFETY: all pointers are live or NULL where the host allows it; `answer` becomes ours.
        let result = unsafe {
            sys::syncop_readv(
                self.as_ptr(),
                fd.as_ptr(),
                1,
                0,
                0,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                ask.as_ptr(),
                &raw mut answer,
            )
        };
        // SAFETY: NULL or a reference that syncop gives away.
        let answer = unsafe { Dict::from_raw(answer) };
        if result == -libc::EIO {
            return Ok(Reading::Refused);
        }
        brick(STEP, result)?;
        let checked = answer.is_some_and(|answer| answer.borrow().has(xattr::STATUS));
        Ok(if checked {
            Reading::Checked
        } else {
            Reading::Unchecked
        })
    }

    /// Checks on the bricks that the file still has the path in `loc`, which this client remembers.
    ///
    /// # Errors
    /// [`Failure::Brick`], with ESTALE if it does not.
    pub fn check_name(&self, loc: &Loc) -> Result<(), Failure> {
        // SAFETY: child and loc are live; blocks until the bricks answer.
        let result = unsafe { sys::cs_shim_check_name(self.as_ptr(), loc.as_ptr()) };
        brick("check its path", result)
    }

    /// Checks that the caller of `ticket` may access the file as in `what` (`R_OK`, `W_OK`).
    ///
    /// # Errors
    /// [`Failure::Brick`], with EACCES if the caller may not.
    pub fn may(&self, ticket: &Ticket, loc: &Loc, what: i32) -> Result<(), Failure> {
        // SAFETY: all pointers are live; the frame lives until the ticket is answered.
        let result = unsafe {
            sys::cs_shim_access_as_caller(ticket.frame(), self.as_ptr(), loc.as_ptr(), what)
        };
        brick("access", result)
    }
}
