// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Detects whether the bricks check a file's state before reading or writing.
//!
//! They do, unless `storage.linux-aio` or `storage.linux-io_uring` is on: these code paths of the brick do not support
//! cold files. A client cannot see the options, but it can see that the answer to a read lacks the state that it
//! requested. The answer to a write never has it.
//!
//! On such bricks nothing can be archived (the handshake tests for it, see [`crate::archive`]), so a file once seen
//! local stays local. The options can only be changed while the volume is stopped, so this holds until the bricks
//! disconnect: a file seen local since they connected may be written whether they check or not. For any other file, the
//! state is queried before the first write, and before each read and write once the bricks are known not to check.

#![forbid(unsafe_code)]

pub mod file;
pub mod pins;
pub mod space;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crate::host::inode;
use crate::host::xlator::Xlator;
use cloudsync_format::message;

/// Whether the bricks check a file's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Not known yet.
    Unknown,
    /// They do.
    Done,
    /// Some of them do not.
    Skipped,
}

/// What one instance knows about its bricks.
#[derive(Debug, Default)]
pub struct Bricks {
    check: AtomicU8,
    disconnects: AtomicU64,
    /// Whether attributes must be removed one at a time.
    singly: AtomicBool,
    /// Whether they have copies of each other.
    replicated: OnceLock<bool>,
}

const UNKNOWN: u8 = 0;
const DONE: u8 = 1;
const SKIPPED: u8 = 2;

impl Bricks {
    /// Whether the bricks check a file's state, as far as is known.
    #[must_use]
    pub fn check(&self) -> Check {
        // Only a hint: it orders no other memory accesses.
        match self.check.load(Ordering::Relaxed) {
            UNKNOWN => Check::Unknown,
            DONE => Check::Done,
            _ => Check::Skipped,
        }
    }

    /// Records that a brick connected, perhaps one that restarted with other options, or that is about to be healed.
    pub fn came_back(&self) {
        inode::age();
        self.forget();
    }

    /// Resets to [`Check::Unknown`].
    fn forget(&self) {
        self.check.store(UNKNOWN, Ordering::Relaxed);
    }

    /// Records that at least one brick disconnected, and so dropped this client's locks. See
    /// [`cloudsync_logic::protocol::lease`].
    pub fn went_away(&self) {
        self.disconnects.fetch_add(1, Ordering::AcqRel);
        inode::age();
        self.forget();
    }

    /// How often a brick has disconnected.
    #[must_use]
    pub fn disconnects(&self) -> u64 {
        self.disconnects.load(Ordering::Acquire)
    }

    /// Whether files have copies on several of them, which may differ. `this` is above them; a graph never changes, so it is
    /// walked once.
    fn are_replicated(&self, this: Xlator) -> bool {
        *self
            .replicated
            .get_or_init(|| this.is_above(c"cluster/replicate"))
    }

    /// Whether several attributes may be removed in one operation.
    fn remove_many(&self) -> bool {
        !self.singly.load(Ordering::Relaxed)
    }

    /// Records that the bricks refused that.
    fn remove_singly(&self) {
        self.singly.store(true, Ordering::Relaxed);
    }

    /// Records that a brick checked the state.
    pub fn checked(&self) {
        if self.check() != Check::Unknown {
            return;
        }
        // Has no effect if another brick did not check.
        let _ = self
            .check
            .compare_exchange(UNKNOWN, DONE, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Records that a brick read or wrote without checking the state.
    pub fn skipped_check(&self) {
        if self.check.swap(SKIPPED, Ordering::Relaxed) != SKIPPED {
            log::warn!(
                id = message::BRICKS_DO_NOT_CHECK;
                "the bricks do not check whether a file is cold before they read and write it (storage.linux-aio or \
                 storage.linux-io_uring is on): the client queries the state before each read and write, which is slow, \
                 and nothing can be archived"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_brick_that_does_not_look_is_enough_to_stay_careful() {
        let bricks = Bricks::default();
        assert_eq!(bricks.check(), Check::Unknown);
        bricks.checked();
        assert_eq!(bricks.check(), Check::Done);
        bricks.skipped_check();
        bricks.checked();
        assert_eq!(bricks.check(), Check::Skipped);
        bricks.forget();
        assert_eq!(bricks.check(), Check::Unknown);
    }
}
