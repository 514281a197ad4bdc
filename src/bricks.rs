// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Whether the bricks look at a file's state before they read and write.
//!
//! They do, unless `storage.linux-aio` or `storage.linux-io_uring` is on: that way of theirs knows nothing of cold
//! files. A client does not see these options, but it sees that the state which it asked for is missing from the answer
//! to a read. The answer to a write never has it.
//!
//! On such bricks nothing can be archived (the handshake tries, see [`crate::archive`]), so a file that was local when
//! it was looked at stays local. The options can only be changed while the volume is stopped, so both hold until the
//! bricks go away: a file that was seen to be local since then may be written whether the bricks check or not. Of any
//! other file the state is asked before the first write, and before each read and write once it is known that the bricks
//! do not check.

#![forbid(unsafe_code)]

pub mod file;
pub mod space;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crate::host::inode;

/// What is known of the bricks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing yet.
    Unknown,
    /// They look.
    Done,
    /// They, or some of them, do not.
    Skipped,
}

/// What one instance knows of its bricks.
#[derive(Debug, Default)]
pub struct Bricks {
    check: AtomicU8,
    disconnects: AtomicU64,
    /// Whether attributes must be removed one after the other.
    singly: AtomicBool,
}

const UNKNOWN: u8 = 0;
const DONE: u8 = 1;
const SKIPPED: u8 = 2;

impl Bricks {
    /// What is known.
    #[must_use]
    pub fn check(&self) -> Check {
        // A hint and nothing else: no other memory hangs on it.
        match self.check.load(Ordering::Relaxed) {
            UNKNOWN => Check::Unknown,
            DONE => Check::Done,
            _ => Check::Skipped,
        }
    }

    /// They may have come back with other options.
    pub fn forget(&self) {
        self.check.store(UNKNOWN, Ordering::Relaxed);
    }

    /// One of them, or more, went away, and forgets this client's locks. See [`cloudsync_logic::protocol::lease`].
    pub fn went_away(&self) {
        self.disconnects.fetch_add(1, Ordering::AcqRel);
        inode::age();
        self.forget();
    }

    /// How often that was.
    #[must_use]
    pub fn disconnects(&self) -> u64 {
        self.disconnects.load(Ordering::Acquire)
    }

    /// Whether they may be asked to remove several attributes at once.
    fn remove_many(&self) -> bool {
        !self.singly.load(Ordering::Relaxed)
    }

    /// They refused to.
    fn remove_singly(&self) {
        self.singly.store(true, Ordering::Relaxed);
    }

    /// They looked, this time.
    pub fn looked(&self) {
        if self.check() != Check::Unknown {
            return;
        }
        // Not if others did not.
        let _ = self
            .check
            .compare_exchange(UNKNOWN, DONE, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// They read or wrote without looking.
    pub fn did_not_look(&self) {
        if self.check.swap(SKIPPED, Ordering::Relaxed) != SKIPPED {
            log::warn!(
                "the bricks do not check whether a file is cold before they read and write it (storage.linux-aio or \
                 storage.linux-io_uring is on): every read and write looks first, which is slow, and nothing can be \
                 archived"
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
        bricks.looked();
        assert_eq!(bricks.check(), Check::Done);
        bricks.did_not_look();
        bricks.looked();
        assert_eq!(bricks.check(), Check::Skipped);
        bricks.forget();
        assert_eq!(bricks.check(), Check::Unknown);
    }
}
