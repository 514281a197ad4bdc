// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The tracker of a recall's writes ([`cloudsync_logic::recall::tracker`]) for the host's buffers.

#![forbid(unsafe_code)]

use crate::host::write;
use crate::objects::Chunk;
use cloudsync_logic::errno::Errno;
use cloudsync_logic::recall::tracker as logic;

pub use cloudsync_logic::recall::written::{WriteError, Written};

/// Tracks the writes of one recall.
pub type Tracker = logic::Tracker<Chunk>;
/// A write in flight.
pub type Slot = logic::Slot<Chunk>;

impl write::InFlight for Slot {
    fn end(self: Box<Self>, result: Result<u64, Errno>, moved_mtime: bool) {
        (*self).end(result, moved_mtime);
    }
}
