// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The possible outcomes of archiving one file.

use std::io;

use cloudsync_store::StoreError;

/// A file that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Archived { bytes: u64, uploaded: bool },
    Left(Why),
}

/// Why a file is skipped, which is no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Cold,
    Open,
    Busy,
    Changed,
    Fresh,
    Used,
    Gone,
    Special,
    Empty,
    Sharded,
}

impl Why {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Cold => "it is already cold",
            Self::Open => "it is open in another process",
            Self::Busy => "another process is archiving or recalling it",
            Self::Changed => "it changed while it was read",
            Self::Fresh => "it was modified after it was found",
            Self::Used => "it was used after it was found",
            Self::Gone => "it no longer exists",
            Self::Special => "it is no longer a regular file",
            Self::Empty => "it is empty",
            Self::Sharded => "it has more than one shard",
        }
    }
}

/// Why archiving a file failed, or must be retried or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{0}: {1}")]
    Io(&'static str, io::Error),
    #[error("{0}: {1}")]
    Store(&'static str, StoreError),
    #[error("{0}")]
    Other(String),
    /// Not a failure: becomes [`Done::Left`].
    #[error("{}", .0.text())]
    Left(Why),
    /// Not a failure: the key on the file was of another version and has been removed; retry with a new one.
    #[error("its bytes differ from its object's, though size and mtime are the same")]
    Again,
    /// Not a failure: the volume's plugin does not compare checksums, so the archiver does.
    #[error("the volume's plugin cannot compare an object's checksum")]
    CannotCompare,
}

impl Problem {
    /// The store's error, if it was the store that failed.
    pub(super) fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(_, error) => Some(error),
            _ => None,
        }
    }
}
