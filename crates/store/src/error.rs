// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Why a store could not, by meaning: what the reader's errno and the administrator's log line are made of.
//!
//! | error | errno of the reader |
//! |---|---|
//! | `Missing` | `ENODATA` |
//! | `PermissionDenied` | `EACCES` |
//! | `BadCredentials` | `EKEYREJECTED` |
//! | `Archived`, `Throttled` | `EBUSY` |
//! | `Unreachable` | `EHOSTUNREACH` |
//! | `Changed` | `ESTALE` |
//! | `Exists` | `EEXIST` |
//! | `Full` (uploads only) | `ENOSPC` |
//! | `Corrupt` | `EBADMSG` |
//! | `Cancelled` | `ECANCELED` |
//! | `Sink(errno)` | that errno |
//! | `Source` | `EIO` |
//! | `Settings` | `EINVAL` |
//! | `Other` | `EREMOTEIO` |

#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

/// Each text is for the log: it says where, what, and what to do about it. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("no such object: {0}")]
    Missing(String),
    /// The store knows us and does not let us.
    #[error("permission denied: {0}")]
    PermissionDenied(String),
    /// The store does not know us.
    #[error("the store refuses the credentials: {0}")]
    BadCredentials(String),
    /// The object is in a storage class that must be restored before it can be read.
    #[error("the object must be restored first: {0}")]
    Archived(String),
    /// No answer, or none that makes sense, from the store.
    #[error("store unreachable: {0}")]
    Unreachable(String),
    /// The store asks for fewer requests, and went on asking.
    #[error("the store is too busy: {0}")]
    Throttled(String),
    /// The object is another one than it was a moment ago.
    #[error("the object changed: {0}")]
    Changed(String),
    /// There is an object already where one should be put.
    #[error("there is an object already: {0}")]
    Exists(String),
    /// The store has no room for another object.
    #[error("the store is full: {0}")]
    Full(String),
    /// What arrived is not the file.
    #[error("the object is not the file: {0}")]
    Corrupt(String),
    /// Nobody wants the bytes any more.
    #[error("cancelled")]
    Cancelled,
    /// The volume refused to take the bytes.
    #[error("writing to the volume failed: {}", std::io::Error::from_raw_os_error(*.0))]
    Sink(i32),
    /// The bytes of an upload cannot be read.
    #[error("cannot read what is to be uploaded: {0}")]
    Source(String),
    /// A setting is wrong or missing.
    #[error("{0}")]
    Settings(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// How loud an error is in the host's log; the values are the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// A bug.
    Critical = 3,
    /// Somebody must do something.
    Error = 4,
    /// The world is like that; it may pass.
    Warning = 5,
    /// Good to know.
    Info = 7,
    /// For whoever looks for it.
    Debug = 8,
}

impl StoreError {
    /// What an error of a file system or a connection means for an object. `place` says where, for the log.
    #[must_use]
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the list is the standard library's and grows"
    )]
    pub fn of_io(error: &std::io::Error, place: &str) -> Self {
        use std::io::ErrorKind;
        let text = format!("{error} ({place})");
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
                Self::Missing(text)
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::PermissionDenied(text)
            }
            _ => Self::Unreachable(text),
        }
    }

    /// The errno that the waiting operation gets.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Missing(_) => libc::ENODATA,
            Self::PermissionDenied(_) => libc::EACCES,
            Self::BadCredentials(_) => libc::EKEYREJECTED,
            Self::Archived(_) | Self::Throttled(_) => libc::EBUSY,
            Self::Unreachable(_) => libc::EHOSTUNREACH,
            Self::Changed(_) => libc::ESTALE,
            Self::Exists(_) => libc::EEXIST,
            Self::Full(_) => libc::ENOSPC,
            Self::Corrupt(_) => libc::EBADMSG,
            Self::Cancelled => libc::ECANCELED,
            Self::Sink(errno) => *errno,
            Self::Source(_) => libc::EIO,
            Self::Settings(_) => libc::EINVAL,
            Self::Other(_) => libc::EREMOTEIO,
        }
    }

    /// How loud it is.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self {
            Self::Cancelled => Level::Debug,
            Self::Archived(_) | Self::Unreachable(_) | Self::Throttled(_) => Level::Warning,
            Self::Missing(_)
            | Self::PermissionDenied(_)
            | Self::BadCredentials(_)
            | Self::Changed(_)
            | Self::Exists(_)
            | Self::Full(_)
            | Self::Corrupt(_)
            | Self::Sink(_)
            | Self::Source(_)
            | Self::Settings(_)
            | Self::Other(_) => Level::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errnos_are_those_of_the_table() {
        let text = || String::from("s3.example.org");
        for (error, errno) in [
            (StoreError::Missing(text()), libc::ENODATA),
            (StoreError::PermissionDenied(text()), libc::EACCES),
            (StoreError::BadCredentials(text()), libc::EKEYREJECTED),
            (StoreError::Archived(text()), libc::EBUSY),
            (StoreError::Throttled(text()), libc::EBUSY),
            (StoreError::Unreachable(text()), libc::EHOSTUNREACH),
            (StoreError::Changed(text()), libc::ESTALE),
            (StoreError::Exists(text()), libc::EEXIST),
            (StoreError::Full(text()), libc::ENOSPC),
            (StoreError::Corrupt(text()), libc::EBADMSG),
            (StoreError::Cancelled, libc::ECANCELED),
            (StoreError::Sink(libc::ENOSPC), libc::ENOSPC),
            (StoreError::Source(text()), libc::EIO),
            (StoreError::Settings(text()), libc::EINVAL),
            (StoreError::Other(text()), libc::EREMOTEIO),
        ] {
            assert_eq!(error.errno(), errno, "{error}");
        }
    }

    #[test]
    fn an_error_of_a_file_is_told_apart() {
        let of = |errno| {
            let error = std::io::Error::from_raw_os_error(errno);
            StoreError::of_io(&error, "folder /srv").errno()
        };
        assert_eq!(of(libc::ENOENT), libc::ENODATA);
        assert_eq!(of(libc::ENOTDIR), libc::ENODATA);
        assert_eq!(of(libc::EACCES), libc::EACCES);
        assert_eq!(of(libc::EIO), libc::EHOSTUNREACH);
        assert_eq!(of(libc::ETIMEDOUT), libc::EHOSTUNREACH);
    }

    #[test]
    fn a_refused_write_says_why() {
        assert!(
            StoreError::Sink(libc::ENOSPC)
                .to_string()
                .contains("No space left")
        );
    }
}
