// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! In place of src/host: operations that count their answers, files that are a number.

/// As src/host/crash.rs is in a build that is shipped.
pub mod crash {
    /// Nothing.
    #[derive(Debug)]
    pub struct Step;

    /// Nothing happens.
    #[must_use]
    pub const fn step(_: &str) -> Step {
        Step
    }
}

/// What a file shows.
pub mod attributes {
    /// Nothing.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Attributes;

    impl Attributes {
        /// Nothing.
        #[must_use]
        pub const fn blank() -> Self {
            Self
        }
    }
}

/// A panic in a job fails the test.
pub mod guard {
    /// Runs `body`.
    pub fn catch<T>(_: T, body: impl FnOnce() -> T) -> T {
        body()
    }
}

/// Files.
pub mod inode {
    use std::fmt;

    /// Which file.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Gfid(pub u8);

    impl fmt::Display for Gfid {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}", self.0)
        }
    }

    /// A file.
    #[derive(Debug)]
    pub struct Inode(pub Gfid);

    impl Inode {
        /// Which.
        #[must_use]
        pub const fn gfid(&self) -> Gfid {
            self.0
        }

        /// Its path.
        #[must_use]
        pub fn path(&self) -> String {
            self.0.to_string()
        }
    }
}

/// Operations.
pub mod ticket {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::inode::Inode;
    use crate::errno::Errno;
    use crate::recall::tracker::Reading;

    /// What became of the operations.
    #[derive(Debug, Default)]
    pub struct Ledger {
        /// They went on.
        pub resumed: AtomicUsize,
        /// They got an errno.
        pub failed: AtomicUsize,
        /// Nobody answered them.
        pub dropped: AtomicUsize,
    }

    /// An operation; `again` times it finds the file archived again when it goes on.
    #[derive(Debug)]
    pub struct Ticket {
        ledger: Arc<Ledger>,
        answered: bool,
        /// See above.
        pub again: u8,
    }

    impl Ticket {
        /// One that is written down in `ledger`.
        #[must_use]
        pub const fn new(ledger: Arc<Ledger>, again: u8) -> Self {
            Self {
                ledger,
                answered: false,
                again,
            }
        }

        /// Not a read.
        #[must_use]
        pub const fn fop(&self) -> u32 {
            0
        }

        /// Its file.
        #[must_use]
        pub const fn inode(&self) -> Option<Inode> {
            Some(Inode(crate::instance::FILE))
        }

        /// It is a read that the bricks answer.
        pub fn wind_during(self, reading: Reading) {
            drop(reading);
            self.answer();
        }

        /// It is about to be parked.
        pub const fn count_attempt(&mut self) {}

        /// It goes on, and ends well.
        pub fn answer(mut self) {
            self.answered = true;
            self.ledger.resumed.fetch_add(1, Ordering::Relaxed);
        }

        /// It ends.
        pub fn fail(mut self, _: Errno) {
            self.answered = true;
            self.ledger.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Drop for Ticket {
        fn drop(&mut self) {
            if !self.answered {
                self.ledger.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
