// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Counts the connections to the store, and the memory reserved for what they receive.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::config;
use cloudsync_format::message;

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A reader waits for these bytes.
    Read,
    /// A recall. A quarter of the connections is reserved for readers.
    Recall,
    /// One more connection of a recall, whose receive buffer [`super::Limits::more`] has reserved.
    More,
}

/// The maximum memory of a connection for bytes received but not yet consumed. Measured with the S3 plugin: 1.1 MiB in
/// the HTTP client, as much again in transit from it, and the rest for malloc's overhead and [`THREAD`].
pub(super) const BUFFER: u64 = 3 << 20;
/// The memory of a waiting thread: its stack, and what a request allocates.
const THREAD: u64 = 400 << 10;
/// So many recalls at once wait for no buffers.
const UNBUFFERED: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Connections {
    pub(super) limit: usize,
    pub(super) used: usize,
    /// Those of recalls that have only one.
    recalls: usize,
    /// Bytes reserved for the receive buffers of readers' connections.
    read_buffers: u64,
    /// Bytes reserved for the receive buffers of recalls' connections.
    recall_buffers: u64,
    /// The memory for all receive buffers.
    pub(super) max_buffers: u64,
    /// How often a recall did without another connection for lack of memory, and when the log last told that.
    pub(super) refused: u64,
    told: Option<Instant>,
}

impl Use {
    /// The memory that a connection needs for a request of `bytes` bytes.
    pub(super) fn buffer(self, bytes: u64) -> u64 {
        match self {
            Self::Read | Self::Recall => (bytes + THREAD).min(BUFFER),
            Self::More => 0,
        }
    }
}

impl Connections {
    pub(super) fn open(&mut self, purpose: Use) {
        self.used += 1;
        self.recalls += usize::from(purpose == Use::Recall);
    }

    pub(super) fn close(&mut self, purpose: Use) {
        self.used -= 1;
        self.recalls -= usize::from(purpose == Use::Recall);
    }

    /// Whether a recall may have one more connection. Counts it if not.
    pub(super) fn has_room_for_more(&mut self) -> bool {
        let room = self.recall_buffers + BUFFER <= self.max_recalls();
        if !room {
            self.refuse();
        }
        room
    }

    pub(super) fn buffers(&mut self, purpose: Use) -> &mut u64 {
        match purpose {
            Use::Read => &mut self.read_buffers,
            Use::Recall | Use::More => &mut self.recall_buffers,
        }
    }

    /// Counts a connection for which memory is lacking, and tells it at most every ten minutes.
    fn refuse(&mut self) {
        const QUIET: Duration = Duration::from_secs(600);
        self.refused += 1;
        if self.told.is_none_or(|told| told.elapsed() > QUIET) {
            self.told = Some(Instant::now());
            log::info!(
                id = message::MEMORY_LIMITS;
                "recalls use all the memory for connections: they may get faster with a larger memory= in {}",
                config::PRODUCT_ID
            );
        }
    }

    /// The memory for the receive buffers of recalls: as of the connections, a quarter is reserved for readers.
    const fn max_recalls(&self) -> u64 {
        self.max_buffers / 4 * 3
    }

    /// Readers wait for other readers' receive buffers, and beyond half of the memory for those of recalls; of the
    /// recalls, those wait that are more than [`UNBUFFERED`].
    pub(super) fn has_room(&self, purpose: Use, buffer: u64) -> bool {
        let for_recalls = self.limit - self.limit / 4;
        let (max, fits) = match purpose {
            Use::Read => (
                self.limit,
                self.read_buffers == 0
                    || self.read_buffers + buffer <= self.max_buffers / 2
                    || self.read_buffers + self.recall_buffers + buffer <= self.max_buffers,
            ),
            Use::Recall => (
                for_recalls,
                self.recalls < UNBUFFERED || self.recall_buffers + buffer <= self.max_recalls(),
            ),
            Use::More => (for_recalls, true),
        };
        self.used < max.max(1) && fits
    }
}
