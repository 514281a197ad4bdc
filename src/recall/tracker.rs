// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The tracker of a recall's writes ([`cloudsync_logic::recall::tracker`]) for the host's buffers.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::host::write;
use crate::objects::Chunk;
use cloudsync_logic::errno::Errno;
use cloudsync_logic::recall::tracker::{self as logic, Trackers};
use cloudsync_logic::sync::LazyLock;

pub use cloudsync_logic::recall::written::{WriteError, Written};

/// Tracks the writes of one recall.
pub type Tracker = logic::Tracker<Chunk>;
/// A write in flight.
pub type Slot = logic::Slot<Chunk>;

/// The trackers of all recalls of the process that accept writes.
static OPEN: LazyLock<Trackers<Chunk>> = LazyLock::new(Trackers::default);

/// See [`Trackers::open`].
#[must_use]
pub fn open(descriptor: usize, size: u64, window: u64) -> Arc<Tracker> {
    OPEN.open(descriptor, size, window)
}

impl write::InFlight for Slot {
    fn end(self: Box<Self>, result: Result<u64, Errno>, moved_mtime: bool) {
        (*self).end(result, moved_mtime);
    }
}
