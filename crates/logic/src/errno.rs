// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The failures of operations on cold files, and the errno that the application gets for each.
//!
//! A plugin chooses the errno for failures of its store (crates/store, `StoreError`); it is passed on unchanged.

#![forbid(unsafe_code)]

use std::fmt;

use cloudsync_format::message;
use log::Level;

/// An errno of the operating system; never 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// An input/output error, also used for bugs in cloudsync.
    pub const EIO: Self = Self(libc::EIO);
    /// Busy: the file is archived again after each recall, or cannot be archived now.
    pub const EBUSY: Self = Self(libc::EBUSY);
    /// An invalid argument.
    pub const EINVAL: Self = Self(libc::EINVAL);
    /// The file has several hard links, but its path is needed.
    pub const EMLINK: Self = Self(libc::EMLINK);
    /// No room on the bricks.
    pub const ENOSPC: Self = Self(libc::ENOSPC);
    /// No memory.
    pub const ENOMEM: Self = Self(libc::ENOMEM);
    /// The recall was cancelled.
    pub const ECANCELED: Self = Self(libc::ECANCELED);
    /// Not now.
    pub const EAGAIN: Self = Self(libc::EAGAIN);
    /// The bricks are not connected, or were disconnected meanwhile.
    pub const ENOTCONN: Self = Self(libc::ENOTCONN);
    /// There is no store: none is configured, or it could not be loaded.
    pub const EREMOTE: Self = Self(libc::EREMOTE);
    /// The store failed without giving a reason.
    pub const EREMOTEIO: Self = Self(libc::EREMOTEIO);
    /// The store's data is not the file.
    pub const EBADMSG: Self = Self(libc::EBADMSG);
    /// The file changed.
    pub const ESTALE: Self = Self(libc::ESTALE);
    /// There is no such object.
    pub const ENODATA: Self = Self(libc::ENODATA);
    /// The budget of bytes from the store is used up; from the bricks: a quota is.
    pub const EDQUOT: Self = Self(libc::EDQUOT);
    /// The operation is not permitted.
    pub const EPERM: Self = Self(libc::EPERM);
    /// The caller may not.
    pub const EACCES: Self = Self(libc::EACCES);
    /// The operation cannot be done on such a file.
    pub const EOPNOTSUPP: Self = Self(libc::EOPNOTSUPP);
    /// The store kept throttling requests, where EBUSY would refer to the file.
    pub const ETIMEDOUT: Self = Self(libc::ETIMEDOUT);
    /// The store's plugin cannot do that.
    pub const EPROTONOSUPPORT: Self = Self(libc::EPROTONOSUPPORT);
    /// A seek to the end of the file or behind it.
    pub const ENXIO: Self = Self(libc::ENXIO);
    /// A number is too large for the answer.
    pub const EOVERFLOW: Self = Self(libc::EOVERFLOW);
    /// The file is cold already.
    pub const EALREADY: Self = Self(libc::EALREADY);

    /// Converts a positive or negative errno. Invalid errnos become EIO: 0, because it would look like success, and 512
    /// and above, because the kernel drops such a reply and the application would wait forever.
    #[must_use]
    pub const fn new(value: i32) -> Self {
        match value.unsigned_abs() {
            errno @ 1..END => Self(errno.cast_signed()),
            _ => Self::EIO,
        }
    }

    /// What an NFS server can pass on instead. NFS-Ganesha answers EAGAIN with `NFS4ERR_DELAY`, after which the client
    /// tries again; ESTALE would mean that the file itself is gone.
    #[must_use]
    pub const fn for_nfs(self) -> Self {
        match self.0 {
            libc::EBUSY
            | libc::ETIMEDOUT
            | libc::EHOSTUNREACH
            | libc::ENOTCONN
            | libc::ECANCELED => Self::EAGAIN,
            libc::EKEYREJECTED => Self(libc::EACCES),
            libc::ENODATA | libc::ESTALE | libc::EBADMSG | libc::EREMOTE | libc::EREMOTEIO => {
                Self::EIO
            }
            _ => self,
        }
    }

    /// Whether it says that there is no room: the disk is full, or a quota used up.
    #[must_use]
    pub const fn is_full(self) -> bool {
        matches!(self.0, libc::ENOSPC | libc::EDQUOT)
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

/// The end of the valid errnos: the kernel's internal ones start here (`ERESTARTSYS`).
const END: u32 = 512;

/// Why a job on a file failed. The text is for the log, the errno for the application.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// An operation on the bricks failed.
    #[error("{step} on the bricks: {errno}")]
    Brick {
        /// The operation, for example "fsync".
        step: &'static str,
        /// What the bricks answered.
        #[source]
        errno: Errno,
    },
    /// No store is loaded.
    #[error("no store is loaded (cloudsync-storetype)")]
    NoStore,
    /// The store that has the object is not loaded.
    #[error(
        "its object is in store '{0}', which is not loaded ({0}.storetype=... in cloudsync-store-id)"
    )]
    NoSuchStore(String),
    /// The plugin reported a failure.
    #[error("the store's plugin reports: {0}")]
    Store(#[source] Errno),
    /// The store's object is not the file.
    #[error("object {key}: {why}")]
    Object {
        /// The object's key.
        key: String,
        /// What is wrong with it.
        why: String,
        /// The errno for the reader.
        errno: Errno,
    },
    /// The plugin reported success but did not write the whole file.
    #[error("{}", incomplete(*got, *want))]
    Incomplete {
        /// Bytes of the file that were acknowledged by the bricks.
        got: u64,
        /// The file's size.
        want: u64,
    },
    /// The plugin wrote past the end of the file.
    #[error("the store's plugin wrote past the file's {0} bytes")]
    TooLong(u64),
    /// The plugin answered a remote read with too many or too few bytes.
    #[error(
        "the store's plugin answered {got} bytes at offset {offset}, where the file has {want}"
    )]
    BadAnswer {
        /// The offset of the read.
        offset: u64,
        /// Bytes in the answer.
        got: u64,
        /// Bytes of the file that the read requested.
        want: u64,
    },
    /// The file's attributes on the bricks are invalid.
    #[error("the file's attributes are damaged: {0}")]
    Damaged(&'static str),
    /// A brick disconnected during a recall: it may have lost power, and with it bytes that were written. The recall is
    /// retried.
    #[error("a brick disconnected during the recall")]
    Disconnected,
    /// The connection to the bricks was lost, and with it the lock on the file.
    #[error("the lock on the file was lost")]
    LockLost,
    /// The file is larger than its bricks.
    #[error("its {0} bytes exceed the capacity of its bricks")]
    TooLarge(u64),
    /// The bricks refused an operation that truncates the file, with its caller's identity.
    #[error("the bricks refused to truncate it: {0}")]
    NotAccepted(#[source] Errno),
    /// The setting `callers` forbids the caller to read cold files.
    #[error("callers does not allow it to this caller")]
    NotAllowed,
    /// The budget has not enough bytes left.
    #[error("{0} bytes are more than budget-bytes leaves now")]
    OverBudget(u64),
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
        /// The errno for the setxattr.
        errno: Errno,
    },
    /// A panic in a job.
    #[error("internal error (a bug in cloudsync)")]
    Bug,
}

impl std::error::Error for Errno {}

/// A plugin that wrote nothing at all may have restored the file in a way that its recall cannot follow.
fn incomplete(got: u64, want: u64) -> String {
    if got > 0 {
        return format!("the store's plugin wrote only {got} of {want} bytes");
    }
    format!(
        "the store's plugin reports success but wrote none of the {want} bytes through its frame; one that restores files \
         by other means can only serve reads (features.cloudsync-remote-read on)"
    )
}

impl Failure {
    /// The level at which the failure is logged, decided only here. Bugs and damaged marks need attention; decisions of a
    /// user or another client are no fault.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self {
            Self::Bug | Self::Damaged(_) => Level::Error,
            Self::Cancelled | Self::Locked | Self::NotAccepted(_) => Level::Info,
            // A scanner would fill the log; the history counts them.
            Self::NotAllowed => Level::Debug,
            // The budget itself tells once that it is used up.
            Self::OverBudget(_) => Level::Debug,
            _ => Level::Warn,
        }
    }

    /// The number of its message in the log, which says what to do about it: one of [`message`].
    #[must_use]
    pub const fn message(&self) -> u64 {
        match self {
            Self::Brick { errno, .. } if errno.is_full() => message::BRICKS_FULL,
            Self::Brick { .. } => message::ON_BRICKS,
            Self::NoStore | Self::NoSuchStore(_) => message::NO_STORE,
            Self::Store(_) => message::STORE_FAILED,
            Self::Object { .. } => message::WRONG_OBJECT,
            Self::Incomplete { .. } | Self::TooLong(_) | Self::BadAnswer { .. } => {
                message::BAD_PLUGIN
            }
            Self::Damaged(_) => message::DAMAGED,
            Self::Disconnected | Self::LockLost => message::DISCONNECTED,
            Self::TooLarge(_) => message::TOO_LARGE,
            Self::NotAccepted(_) => message::NOT_ACCEPTED,
            Self::NotAllowed => message::NOT_ALLOWED,
            Self::OverBudget(_) => message::OVER_BUDGET,
            Self::Locked => message::LOCKED,
            Self::Cancelled => message::CANCELLED,
            Self::Refused { .. } => message::NOT_ARCHIVED,
            Self::Bug => message::INTERNAL,
        }
    }

    /// Out of memory before the job started.
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
            Self::NotAllowed => Errno::EACCES,
            Self::OverBudget(_) => Errno::EDQUOT,
            Self::Locked => Errno::EAGAIN,
            Self::Disconnected | Self::LockLost => Errno::ENOTCONN,
            Self::NoStore | Self::NoSuchStore(_) => Errno::EREMOTE,
            Self::BadAnswer { .. } => Errno::EREMOTEIO,
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
    fn nfs_servers_get_errnos_that_they_know() {
        // Those that NFS-Ganesha does not answer with NFS4ERR_SERVERFAULT, NFS4ERR_STALE or a missing file.
        let known = [
            libc::EPERM,
            libc::EACCES,
            libc::EAGAIN,
            libc::EDQUOT,
            libc::EINVAL,
            libc::EIO,
            libc::EMLINK,
            libc::ENOMEM,
            libc::ENOSPC,
            libc::EOPNOTSUPP,
        ];
        for errno in [
            libc::EAGAIN,
            libc::EBADMSG,
            libc::EBUSY,
            libc::ECANCELED,
            libc::EDQUOT,
            libc::EHOSTUNREACH,
            libc::EINVAL,
            libc::EIO,
            libc::EKEYREJECTED,
            libc::EMLINK,
            libc::ENODATA,
            libc::ENOMEM,
            libc::ENOSPC,
            libc::ENOTCONN,
            libc::EOPNOTSUPP,
            libc::EPERM,
            libc::EACCES,
            libc::EREMOTE,
            libc::EREMOTEIO,
            libc::ESTALE,
            libc::ETIMEDOUT,
        ] {
            let answered = Errno::new(errno).for_nfs().get();
            assert!(known.contains(&answered), "{errno} becomes {answered}");
        }
    }

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
