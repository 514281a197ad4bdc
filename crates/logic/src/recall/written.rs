// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The outcome of a recall's writes.

#![forbid(unsafe_code)]

use crate::errno::Errno;

/// Why a recall's writes failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// A write failed on the bricks.
    Brick(Errno),
    /// The plugin wrote past the file's end.
    TooLong,
    /// The recall was cancelled.
    Cancelled,
}

impl WriteError {
    /// The errno for the plugin's further writes.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::Brick(errno) => errno,
            Self::TooLong => Errno::EBADMSG,
            Self::Cancelled => Errno::ECANCELED,
        }
    }
}

/// The outcome of a recall's writes.
#[derive(Debug)]
pub struct Written {
    /// Whether every byte of the file was acknowledged.
    pub complete: bool,
    /// The number of acknowledged bytes.
    pub bytes: u64,
    /// The first error.
    pub error: Option<WriteError>,
    /// Whether a brick disconnected, and so may have lost acknowledged bytes.
    pub lost: bool,
    /// Whether the writes changed the file's mtime (never where the volume keeps its own times).
    pub moved_mtime: bool,
}
