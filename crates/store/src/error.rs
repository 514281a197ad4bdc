// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Errors of a store, by meaning. They determine the operation's errno and the line in the log.
//!
//! | error | errno of the reader |
//! |---|---|
//! | `Missing` | `ENODATA` |
//! | `PermissionDenied` | `EACCES` |
//! | `BadCredentials`, `Encrypted` | `EKEYREJECTED` |
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

use cloudsync_format::message;

/// Errors of a store. The text is for the log: it names the place, the cause and the remedy, and never a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("no such object: {0}")]
    Missing(String),
    /// The store knows us, and denies the operation.
    #[error("permission denied: {0}")]
    PermissionDenied(String),
    /// The store does not accept our credentials.
    #[error("the store refuses the credentials: {0}")]
    BadCredentials(String),
    /// The object is encrypted, and we have no key that decrypts it.
    #[error("the object cannot be decrypted here: {0}")]
    Encrypted(String),
    /// The object is in a storage class that must be restored before it can be read.
    #[error("the object must be restored first: {0}")]
    Archived(String),
    /// No answer from the store, or none that can be understood.
    #[error("store unreachable: {0}")]
    Unreachable(String),
    /// The store asks for fewer requests, and retries did not help.
    #[error("the store is too busy: {0}")]
    Throttled(String),
    /// The object is not the one that was seen before.
    #[error("the object changed: {0}")]
    Changed(String),
    /// An object already exists where one should be put.
    #[error("the object already exists: {0}")]
    Exists(String),
    /// The store has no space for another object.
    #[error("the store is full: {0}")]
    Full(String),
    /// The bytes received are not the file.
    #[error("the object does not match the file: {0}")]
    Corrupt(String),
    /// The operation that needed the bytes was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The volume refused the bytes, with this errno.
    #[error("writing to the volume failed: {}", std::io::Error::from_raw_os_error(*.0))]
    Sink(i32),
    /// The bytes to upload cannot be read.
    #[error("cannot read the file to upload: {0}")]
    Source(String),
    /// A setting is wrong or missing.
    #[error("{0}")]
    Settings(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// The severity of an error in the host's log. The values are those of the host's `gf_loglevel_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// A bug.
    Critical = 3,
    /// Somebody must act.
    Error = 4,
    /// A condition outside our control, which may pass.
    Warning = 5,
    /// Useful to know.
    Info = 7,
    /// For troubleshooting.
    Debug = 8,
}

impl StoreError {
    /// Maps an error of a file system or a connection. `place` names where it occurred, for the log.
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

    /// The errno for the waiting operation.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Missing(_) => libc::ENODATA,
            Self::PermissionDenied(_) => libc::EACCES,
            Self::BadCredentials(_) | Self::Encrypted(_) => libc::EKEYREJECTED,
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

    /// The number of its message in the log: one of [`message`].
    #[must_use]
    pub const fn message(&self) -> u64 {
        match self {
            Self::Missing(_) => message::OBJECT_MISSING,
            Self::PermissionDenied(_) => message::PERMISSION_DENIED,
            Self::BadCredentials(_) => message::BAD_CREDENTIALS,
            Self::Encrypted(_) => message::OBJECT_ENCRYPTED,
            Self::Archived(_) => message::OBJECT_ARCHIVED,
            Self::Unreachable(_) => message::UNREACHABLE,
            Self::Throttled(_) => message::THROTTLED,
            Self::Changed(_) => message::OBJECT_CHANGED,
            Self::Exists(_) => message::OBJECT_EXISTS,
            Self::Full(_) => message::STORE_FULL,
            Self::Corrupt(_) => message::CORRUPT,
            Self::Sink(_) | Self::Source(_) => message::VOLUME_REFUSED,
            Self::Settings(_) => message::BAD_SETTING,
            Self::Cancelled | Self::Other(_) => message::STORE_ERROR,
        }
    }

    /// The severity in the log.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self {
            Self::Cancelled => Level::Debug,
            Self::Archived(_) | Self::Unreachable(_) | Self::Throttled(_) => Level::Warning,
            Self::Missing(_)
            | Self::PermissionDenied(_)
            | Self::BadCredentials(_)
            | Self::Encrypted(_)
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
            (StoreError::Encrypted(text()), libc::EKEYREJECTED),
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
