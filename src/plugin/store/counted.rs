// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Counts the calls of a plugin, and what it passes to us.

#![forbid(unsafe_code)]

use std::time::Instant;

use cloudsync_logic::errno::Errno;
use cloudsync_logic::store::{Object, Sink};
use cloudsync_metrics::client::Client as Metrics;
use cloudsync_metrics::labels::Request;

use super::LoadedStore;

impl LoadedStore {
    /// Counts a call that began at `started`. One that was cancelled has not failed.
    pub(super) fn count(&self, what: Request, started: Instant, failed: Option<Errno>) {
        let failed = failed.is_some_and(|errno| errno != Errno::ECANCELED);
        self.metrics.requested(what, started.elapsed(), failed);
    }
}

/// A sink whose bytes are counted.
pub(super) struct Counted<'a> {
    pub(super) sink: &'a mut dyn Sink,
    pub(super) metrics: &'a Metrics,
}

impl Sink for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        self.metrics.received(bytes.len() as u64);
        self.sink.write(bytes)
    }

    fn cancelled(&self) -> bool {
        self.sink.cancelled()
    }

    fn describe(&mut self, object: Object) {
        self.sink.describe(object);
    }

    fn throttled(&mut self) {
        self.metrics.throttled();
        self.sink.throttled();
    }

    fn may_restore(&mut self) -> bool {
        self.sink.may_restore()
    }

    fn waits(&mut self, begins: bool) -> bool {
        self.sink.waits(begins)
    }
}
