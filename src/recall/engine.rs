// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The engine of a volume's jobs ([`cloudsync_logic::recall::engine`]), and the volume as the engine sees it.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::objects::Gluster;
use crate::recall::job::{Job, listed};
use crate::recall::steps;
use crate::volume::Volume;
use cloudsync_logic::errno::Failure;
use cloudsync_logic::recall::engine;
use cloudsync_logic::recall::recalls::{Checked, Recalls};
use cloudsync_metrics::labels::Cause;

/// The jobs of one volume.
pub type Engine = engine::Engine<Volume>;

impl Recalls for Volume {
    type Host = Gluster;

    fn recalls(&self) -> usize {
        self.config().recalls
    }

    fn can_serve(&self) -> bool {
        self.all_can_fetch()
    }

    fn failed(&self, job: &Job, failure: &Failure) {
        let cause = cause(failure);
        self.metrics.recall_failed(cause);
        let store = match failure {
            Failure::NoSuchStore(name) => Some(name.as_str()),
            _ => None,
        };
        let file = || listed(self, job, 0, store);
        self.history.failed(failure, Some(cause.text()), file);
    }

    fn check(&self, job: &Job) -> Result<Checked, Failure> {
        steps::check(self, job)
    }

    fn run(self: &Arc<Self>, job: &Job) -> Result<(), Failure> {
        steps::run(self, job)
    }
}

/// What a failure is counted as.
fn cause(failure: &Failure) -> Cause {
    match failure {
        Failure::NoStore | Failure::NoSuchStore(_) => Cause::NoStore,
        Failure::OverBudget(_) => Cause::Budget,
        Failure::NotAllowed => Cause::Denied,
        Failure::Locked => Cause::Locked,
        Failure::Cancelled | Failure::NotAccepted(_) => Cause::Cancelled,
        Failure::Damaged(_) | Failure::Bug => Cause::Internal,
        Failure::TooLarge(_) => Cause::Full,
        Failure::Brick { errno, .. } if errno.is_full() => Cause::Full,
        Failure::Brick { .. } | Failure::Disconnected | Failure::LockLost => Cause::Bricks,
        Failure::Incomplete { .. } | Failure::TooLong(_) | Failure::BadAnswer { .. } => {
            Cause::Store
        }
        Failure::Store(errno) | Failure::Object { errno, .. } | Failure::Refused { errno, .. } => {
            match errno.get() {
                libc::ENODATA | libc::ENOENT => Cause::Missing,
                libc::ESTALE | libc::EBADMSG => Cause::Changed,
                libc::EKEYREJECTED | libc::EACCES | libc::EPERM => Cause::Denied,
                libc::EHOSTUNREACH | libc::ETIMEDOUT | libc::ENOTCONN => Cause::Unreachable,
                libc::EBUSY => Cause::Busy,
                libc::ECANCELED => Cause::Cancelled,
                _ => Cause::Store,
            }
        }
    }
}
