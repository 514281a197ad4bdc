// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What came of a recall's writes.

#![forbid(unsafe_code)]

use crate::errno::Errno;

/// Why a recall's writes failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The bricks refused one.
    Brick(Errno),
    /// The plugin wrote past the file's end.
    TooLong,
    /// The recall was cancelled.
    Cancelled,
}

impl WriteError {
    /// What the plugin gets for its next write.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::Brick(errno) => errno,
            Self::TooLong => Errno::EBADMSG,
            Self::Cancelled => Errno::ECANCELED,
        }
    }
}

/// What came of a recall's writes.
#[derive(Debug)]
pub struct Written {
    /// Whether every byte of the file was acknowledged.
    pub complete: bool,
    /// How many bytes were.
    pub bytes: u64,
    /// The first error.
    pub error: Option<WriteError>,
    /// Whether a brick disconnected: it may have lost acknowledged bytes.
    pub lost: bool,
    /// Whether writing moved the file's modification time (it does not where the volume keeps its own times).
    pub moved_mtime: bool,
}
