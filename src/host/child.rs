// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Operations of our own on the child, for jobs: each blocks its thread until the bricks have answered. Never call
//! one on a thread of the host's. Here is what asks and locks; what changes a file is in [`file`].

mod file;
mod room;

use std::ffi::CStr;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_format::record::Record;
use cloudsync_format::xattr::{self, State};

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

/// The child of an instance, entered by a thread of ours.
#[derive(Debug)]
pub struct Child {
    raw: Xlator,
    _entered: Entered,
}

/// What the bricks say of a file.
#[derive(Debug)]
pub struct Status {
    /// Where its bytes are.
    pub state: State,
    /// Its attributes; the size is the true one of a cold file too.
    pub attributes: Attributes,
    /// Bytes that are on the bricks, whatever the state.
    pub on_bricks: u64,
    /// The key of its object, as the bricks know it.
    pub remote: Option<Vec<u8>>,
    /// The key of its object, as our archiver wrote it.
    pub key: Option<Vec<u8>>,
    /// Whether our handshake archived it, which wrote the object's key to `remote` too. Anybody may set `key` later.
    pub archived_by_us: bool,
    /// What the mark of the job says that is at work on it, or was.
    pub mark: Option<Vec<u8>>,
    /// The version of that object when the file was archived.
    pub version: Option<Vec<u8>>,
    /// What was archived.
    pub record: Option<Record>,
    /// The whole file's size, if this is the first shard of one.
    pub sharded_size: Option<u64>,
    /// Whether it has the size attribute of a cold file.
    pub has_left_overs: bool,
}

impl Status {
    /// Whether a brick died in the middle of a commit: all bytes are there, and `remote` still says that they are not.
    #[must_use]
    pub fn is_half_committed(&self) -> bool {
        self.state == State::Downloading && self.remote.is_some()
    }
}

/// What came of an attempt to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The bricks looked at the file's state and refused.
    Refused,
    /// They looked at it and read.
    Checked,
    /// They read without looking.
    Unchecked,
}

const STATUS_QUESTIONS: &[&CStr] = &[
    xattr::REMOTE,
    xattr::DOWNLOADING,
    xattr::OBJECT_SIZE,
    xattr::KEY,
    xattr::VERSION,
    xattr::RECORD,
    xattr::SHARDED_SIZE,
];

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
    /// Enters `this` on the calling thread, with an identity of its own: root that no brick squashes, and a lock
    /// owner that no other job has (`token` is an address that stays unique while the job runs).
    #[must_use]
    pub fn enter(this: Xlator, token: *const ()) -> Option<Self> {
        let entered = this.enter();
        // SAFETY: sets thread-locals of the host's; the token is used as a number only.
        unsafe { sys::cs_shim_become(token.cast_mut().cast()) };
        Some(Self {
            raw: this.first_child()?,
            _entered: entered,
        })
    }

    const fn as_ptr(&self) -> *mut sys::xlator_t {
        self.raw.as_ptr()
    }

    /// Waits for the lock that serialises archive and recall of the file between all clients, as long as `go_on` says so.
    ///
    /// It asks again and again and never lets a request wait on a brick: one that waits longer than the volume's
    /// `network.frame-timeout` would have the host give up the whole connection.
    ///
    /// # Errors
    /// [`Failure::Brick`], and what `go_on` says.
    pub fn lock<'a>(
        &'a self,
        loc: &'a Loc,
        go_on: impl Fn() -> Result<(), Failure>,
    ) -> Result<Locked<'a>, Failure> {
        const FIRST: Duration = Duration::from_millis(2);
        const LAST: Duration = Duration::from_millis(200);
        let _step = crash::step("lock");
        let mut pause = FIRST;
        loop {
            match self.try_lock(loc) {
                Err(Failure::Locked) => {}
                locked => return locked,
            }
            go_on()?;
            // Two that ask several bricks at once may each be refused by one: not in step, then.
            thread::sleep(pause + pause.mul_f32(self.jitter()));
            pause = (pause * 3 / 2).min(LAST);
        }
    }

    /// The same, and waits for at most so long.
    ///
    /// # Errors
    /// [`Failure::Locked`], [`Failure::Brick`].
    pub fn lock_within<'a>(
        &'a self,
        loc: &'a Loc,
        at_most: Duration,
    ) -> Result<Locked<'a>, Failure> {
        let begun = Instant::now();
        self.lock(loc, || match begun.elapsed() < at_most {
            true => Ok(()),
            false => Err(Failure::Locked),
        })
    }

    /// Takes that lock if nobody has it.
    ///
    /// # Errors
    /// [`Failure::Locked`], [`Failure::Brick`].
    pub fn try_lock<'a>(&'a self, loc: &'a Loc) -> Result<Locked<'a>, Failure> {
        match self.inodelk(loc, sys::CS_TRY_LOCK) {
            result if result == -libc::EAGAIN => Err(Failure::Locked),
            result => {
                brick("lock", result)?;
                Ok(Locked { child: self, loc })
            }
        }
    }

    /// From 0 to 1.
    fn jitter(&self) -> f32 {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let mixed = u64::from(now.subsec_nanos()) ^ (self.as_ptr().addr() as u64);
        f32::from((mixed % 256) as u8) / 256.0
    }

    /// Takes the lock once more, and waits for nobody: see [`crate::recall::lease`].
    ///
    /// # Errors
    /// [`Failure::Brick`], with EAGAIN if another client has it.
    pub fn lock_again(&self, loc: &Loc) -> Result<(), Failure> {
        brick("lock again", self.inodelk(loc, sys::CS_TRY_LOCK))
    }

    /// Gives back a lock of [`Self::lock_again`]; whoever has not got it does not mind.
    pub fn unlock(&self, loc: &Loc) {
        self.inodelk(loc, sys::CS_UNLOCK);
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

    /// An extended attribute of the file; `None` if it has none of that name.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn attribute(&self, loc: &Loc, name: &CStr) -> Result<Option<Vec<u8>>, Failure> {
        let (_, answer) = self.stat(loc, &[name])?;
        Ok(answer.and_then(|answer| answer.borrow().bytes(name)))
    }

    /// The identity of the file that an operation's descriptor is open on.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn identity(&self, ticket: &Ticket) -> Result<Gfid, Failure> {
        let mut attributes = Attributes::blank();
        // SAFETY: child and descriptor are live; NULL stands for no dictionaries.
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

    /// Sets an extended attribute as the caller of `ticket`: the bricks may refuse it to that one.
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

    /// Asks the bricks for the file's state, size and keys.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn status(&self, loc: &Loc) -> Result<Status, Failure> {
        let (mut attributes, answer) = self.stat(loc, STATUS_QUESTIONS)?;
        let answer = answer.as_ref().map(Dict::borrow);
        let bytes = |name| answer.and_then(|dict| dict.bytes(name));
        let remote = bytes(xattr::REMOTE);
        let mark = bytes(xattr::DOWNLOADING);
        let recorded = bytes(xattr::OBJECT_SIZE);
        // As posix on the bricks concludes it (posix_cs_check_status), but for a file that has bytes and no size any more:
        // only a commit removes that, and the brick died in the middle of it.
        let on_bricks = attributes.size();
        let state = match (&remote, mark.is_some(), on_bricks) {
            (Some(_), false, 0) => State::Remote,
            (Some(_), _, 1..) if recorded.is_none() => State::Downloading,
            (Some(_), _, _) => State::Repair,
            (None, true, _) => State::Downloading,
            (None, false, _) => State::Local,
        };
        if matches!(state, State::Remote | State::Repair) {
            let size = recorded.as_deref().and_then(xattr::size);
            attributes.show_cold(size.ok_or(Failure::Damaged(
                "its recorded size is missing or no number",
            ))?);
        }
        Ok(Status {
            state,
            attributes,
            on_bricks,
            key: bytes(xattr::KEY),
            mark,
            archived_by_us: bytes(xattr::VERSION).is_some(),
            version: bytes(xattr::VERSION).filter(|version| !version.is_empty()),
            record: bytes(xattr::RECORD)
                .and_then(|record| Record::parse(&String::from_utf8(record).ok()?))
                .filter(|record| remote.as_ref().is_some_and(|key| record.is_of(key))),
            sharded_size: bytes(xattr::SHARDED_SIZE)
                .and_then(|value| Some(u64::from_be_bytes(value.get(..8)?.try_into().ok()?))),
            has_left_overs: recorded.is_some(),
            remote,
        })
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
        // It has no name any more, or this client never learnt one, but somebody may have it open.
        if matches!(-result, libc::ENOENT | libc::ESTALE | libc::EINVAL)
            && let Some(fd) = Fd::of(loc)
        {
            let mut other = ptr::null_mut();
            // SAFETY: as above.
            result = unsafe {
                sys::syncop_fstat(
                    self.as_ptr(),
                    fd.as_ptr(),
                    &raw mut attributes.0,
                    ask.as_ptr(),
                    &raw mut other,
                )
            };
            // SAFETY: as above.
            answer = unsafe { Dict::from_raw(other) };
        }
        brick("stat", result)?;
        Ok((attributes, answer))
    }

    /// Looks the file up, which makes a replicated volume ask each brick whether others are to be believed.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn look(&self, loc: &Loc) -> Result<(), Failure> {
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

    /// Whether the bricks look at a file's state before they read: tries to read a byte.
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

    /// Asks the bricks whether the file still has the name that `loc` says, which is what this client remembers.
    ///
    /// # Errors
    /// [`Failure::Brick`], with ESTALE if not.
    pub fn check_name(&self, loc: &Loc) -> Result<(), Failure> {
        // SAFETY: child and loc are live; blocks until the bricks answer.
        let result = unsafe { sys::cs_shim_check_name(self.as_ptr(), loc.as_ptr()) };
        brick("look at its name", result)
    }

    /// Whether the user that `ticket` came from may do `what` (`R_OK`, `W_OK`) with the file.
    ///
    /// # Errors
    /// [`Failure::Brick`], with EACCES if not.
    pub fn may(&self, ticket: &Ticket, loc: &Loc, what: i32) -> Result<(), Failure> {
        // SAFETY: all pointers are live; the frame lives until the ticket is answered.
        let result = unsafe {
            sys::cs_shim_access_as_caller(ticket.frame(), self.as_ptr(), loc.as_ptr(), what)
        };
        brick("access", result)
    }
}

/// The lock on a file; released on drop. If that fails, the lock dies with this client's connection.
#[derive(Debug)]
pub struct Locked<'a> {
    child: &'a Child,
    loc: &'a Loc,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let _step = crash::step("unlock");
        let result = self.child.inodelk(self.loc, sys::CS_UNLOCK);
        // A file that was removed meanwhile has taken its lock along.
        if result < 0 && result != -libc::ENOENT && result != -libc::ESTALE {
            log::warn!("{}: cannot unlock: {}", self.loc.path(), Errno::new(result));
        }
    }
}
