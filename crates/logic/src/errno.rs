// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What can go wrong with a cold file, and the errno that the waiting application gets for it.
//!
//! A plugin chooses the errno for what went wrong at its store (crates/store, `StoreError`); those pass through.

#![forbid(unsafe_code)]

use std::fmt;

use log::Level;

/// An errno of the operating system; never 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// An input/output error: also what a bug of ours answers.
    pub const EIO: Self = Self(libc::EIO);
    /// Busy: the file is archived again and again while somebody tries to use it.
    pub const EBUSY: Self = Self(libc::EBUSY);
    /// An invalid argument.
    pub const EINVAL: Self = Self(libc::EINVAL);
    /// Several names, where one is needed.
    pub const EMLINK: Self = Self(libc::EMLINK);
    /// No room on the bricks.
    pub const ENOSPC: Self = Self(libc::ENOSPC);
    /// No memory.
    pub const ENOMEM: Self = Self(libc::ENOMEM);
    /// The recall was cancelled.
    pub const ECANCELED: Self = Self(libc::ECANCELED);
    /// Not now.
    pub const EAGAIN: Self = Self(libc::EAGAIN);
    /// The bricks are not connected, or were not in between.
    pub const ENOTCONN: Self = Self(libc::ENOTCONN);
    /// The store is not there: none is configured, or it could not be loaded.
    pub const EREMOTE: Self = Self(libc::EREMOTE);
    /// The store failed and did not say how.
    pub const EREMOTEIO: Self = Self(libc::EREMOTEIO);
    /// What came from the store is not the file.
    pub const EBADMSG: Self = Self(libc::EBADMSG);
    /// The file changed.
    pub const ESTALE: Self = Self(libc::ESTALE);
    /// There is no such object.
    pub const ENODATA: Self = Self(libc::ENODATA);
    /// The operation is not permitted.
    pub const EPERM: Self = Self(libc::EPERM);
    /// The operation cannot be done on such a file.
    pub const EOPNOTSUPP: Self = Self(libc::EOPNOTSUPP);
    /// The store asks for fewer requests, and went on asking: where busy would mean the file.
    pub const ETIMEDOUT: Self = Self(libc::ETIMEDOUT);
    /// The store's plugin cannot do that.
    pub const EPROTONOSUPPORT: Self = Self(libc::EPROTONOSUPPORT);
    /// The file is cold already.
    pub const EALREADY: Self = Self(libc::EALREADY);

    /// From a positive or negative errno. What is none becomes EIO: 0, because a failure that names no error is our bug
    /// or the host's and must not look like success; and what the kernel does not take from a file system, because it
    /// throws such an answer away and lets the application wait for another for ever.
    #[must_use]
    pub const fn new(value: i32) -> Self {
        match value.unsigned_abs() {
            errno @ 1..END => Self(errno.cast_signed()),
            _ => Self::EIO,
        }
    }

    /// The positive number.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // "No such file or directory (os error 2)"
        write!(f, "{}", std::io::Error::from_raw_os_error(self.0))
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where the errnos end that may leave the kernel; its own begin here (`ERESTARTSYS`).
const END: u32 = 512;

/// Why a job on a file failed. The text is for the log, the errno for the application.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// An operation on the bricks failed.
    #[error("{step} on the bricks: {errno}")]
    Brick {
        /// What was tried, as "fsync".
        step: &'static str,
        /// What the bricks answered.
        #[source]
        errno: Errno,
    },
    /// No store is loaded.
    #[error("no store is loaded (cloudsync-storetype)")]
    NoStore,
    /// The plugin reported a failure.
    #[error("the store's plugin reports: {0}")]
    Store(#[source] Errno),
    /// The store's object is not the file.
    #[error("object {key}: {why}")]
    Object {
        /// The object's.
        key: String,
        /// What is wrong with it.
        why: String,
        /// What the reader gets.
        errno: Errno,
    },
    /// The plugin reported success but wrote something else than the file.
    #[error("the store's plugin delivered {got} of {want} bytes")]
    Incomplete {
        /// Bytes of the file that were acknowledged by the bricks.
        got: u64,
        /// The file's size.
        want: u64,
    },
    /// The plugin wrote past the end of the file.
    #[error("the store's plugin wrote past the file's {0} bytes")]
    TooLong(u64),
    /// What the bricks say of the file makes no sense.
    #[error("the file's attributes are damaged: {0}")]
    Damaged(&'static str),
    /// A brick disconnected in the middle of a recall: it may have lost power, and with it what was written. The recall
    /// starts again.
    #[error("a brick disconnected in the middle of the recall")]
    Disconnected,
    /// The connection to the bricks was lost, and with it the lock on the file.
    #[error("the lock on the file was lost")]
    LockLost,
    /// The file is larger than its bricks.
    #[error("its {0} bytes are more than its bricks have room for")]
    TooLarge(u64),
    /// The bricks refuse an operation that cuts the file, as its caller's.
    #[error("the bricks refuse to cut it: {0}")]
    NotAccepted(#[source] Errno),
    /// Another client has the lock on the file.
    #[error("another client has the lock on the file")]
    Locked,
    /// The job was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The archiver's handshake was refused.
    #[error("not archived: {reason}")]
    Refused {
        /// Why, in words.
        reason: String,
        /// What setxattr answers.
        errno: Errno,
    },
    /// A panic in a job.
    #[error("internal error (a bug in cloudsync)")]
    Bug,
}

impl std::error::Error for Errno {}

impl Failure {
    /// The level at which it is logged: here and nowhere else. A bug and damaged marks want somebody's attention; what a
    /// user or another client has decided is no fault.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self {
            Self::Bug | Self::Damaged(_) => Level::Error,
            Self::Cancelled | Self::Locked | Self::NotAccepted(_) => Level::Info,
            _ => Level::Warn,
        }
    }

    /// There was no memory to begin with.
    pub const NO_MEMORY: Self = Self::Brick {
        step: "start",
        errno: Errno::ENOMEM,
    };

    /// The errno that the waiting operation gets.
    #[must_use]
    pub const fn errno(&self) -> Errno {
        match self {
            Self::Brick { errno, .. }
            | Self::Store(errno)
            | Self::Object { errno, .. }
            | Self::Refused { errno, .. } => *errno,
            Self::NotAccepted(errno) => *errno,
            Self::TooLarge(_) => Errno::ENOSPC,
            Self::Locked => Errno::EAGAIN,
            Self::Disconnected | Self::LockLost => Errno::ENOTCONN,
            Self::NoStore => Errno::EREMOTE,
            Self::Incomplete { .. } | Self::TooLong(_) => Errno::EBADMSG,
            Self::Cancelled => Errno::ECANCELED,
            Self::Damaged(_) | Self::Bug => Errno::EIO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_errno_becomes_one() {
        for (value, errno) in [
            (0, libc::EIO),
            (libc::ENOENT, libc::ENOENT),
            (-libc::ENOENT, libc::ENOENT),
            (511, 511),
            (512, libc::EIO),
            (-512, libc::EIO),
            (99_999, libc::EIO),
            (i32::MAX, libc::EIO),
            (i32::MIN, libc::EIO),
        ] {
            assert_eq!(Errno::new(value).get(), errno, "{value}");
        }
    }
}
