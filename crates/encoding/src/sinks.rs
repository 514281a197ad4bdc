// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Sinks for bytes that nobody else gets.

use cloudsync_store::checksum::Computing;
use cloudsync_store::{Checksum, Sink, StoreError};

/// Keeps the bytes in memory. Whether they are still wanted is for the sink to say for which they are fetched.
pub(crate) struct Collect<'a> {
    pub(crate) bytes: Vec<u8>,
    wanted_by: &'a mut dyn Sink,
}

impl<'a> Collect<'a> {
    pub(crate) const fn new(wanted_by: &'a mut dyn Sink) -> Self {
        Self {
            bytes: Vec::new(),
            wanted_by,
        }
    }
}

impl Sink for Collect<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if self.cancelled() {
            return Err(StoreError::Cancelled);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn cancelled(&self) -> bool {
        self.wanted_by.cancelled()
    }

    fn throttled(&mut self) {
        self.wanted_by.throttled();
    }

    fn may_restore(&mut self) -> bool {
        self.wanted_by.may_restore()
    }

    fn waits(&mut self, begins: bool) -> bool {
        self.wanted_by.waits(begins)
    }
}

/// Computes the checksum of the bytes.
pub(crate) struct Sum(Computing);

impl Sum {
    /// With the algorithm of `like`.
    pub(crate) fn like(like: Checksum) -> Self {
        Self(like.algorithm().compute())
    }

    pub(crate) fn finish(self) -> Checksum {
        self.0.finish()
    }
}

impl Sink for Sum {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.update(bytes);
        Ok(())
    }

    fn cancelled(&self) -> bool {
        false
    }
}
