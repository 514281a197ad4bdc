// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What may become of a file.

use std::io;

use cloudsync_store::StoreError;

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Archived { bytes: u64, uploaded: bool },
    Left(Why),
}

/// Why a file is left as it is; no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Cold,
    Open,
    Busy,
    Changed,
    Fresh,
    Gone,
    Special,
    Empty,
    Sharded,
}

impl Why {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Cold => "it is cold already",
            Self::Open => "somebody has it open",
            Self::Busy => "somebody else is at it",
            Self::Changed => "it changed while it was read",
            Self::Fresh => "it was modified meanwhile",
            Self::Gone => "it is gone",
            Self::Special => "not a regular file any more",
            Self::Empty => "it is empty",
            Self::Sharded => "it has more than one shard",
        }
    }
}

/// What failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{0}: {1}")]
    Io(&'static str, io::Error),
    #[error("{0}: {1}")]
    Store(&'static str, StoreError),
    #[error("{0}")]
    Other(String),
    /// Not a failure; on its way to [`Done::Left`].
    #[error("{}", .0.text())]
    Left(Why),
    /// Not a failure: the key on the file was of another state of it, and is gone now.
    #[error("its bytes are not those of its object, though size and mtime are")]
    Again,
    /// Not a failure: the volume's plugin knows no checksums, so we compare them.
    #[error("the volume's plugin cannot be asked for an object's checksum")]
    CannotCompare,
}

impl Problem {
    pub(super) fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(_, error) => Some(error),
            _ => None,
        }
    }
}
