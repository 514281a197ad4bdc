// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Decides when a run has archived enough, and when too much has failed to go on.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cloudsync_store::{Rate, StoreError};

use super::outcome::Problem;
use super::tally::Tally;
use crate::cli::PaceFlags;
use crate::exit::Ended;
use crate::interrupt::interrupted;
use crate::outage::Outage;
use crate::volume::Target;

/// How often to query the free space.
const QUERY_INTERVAL: Duration = Duration::from_millis(200);

/// Limits of one run, shared by its threads.
#[derive(Debug)]
pub(super) struct Limits {
    files: Option<AtomicI64>,
    free_until: Option<f64>,
    root: PathBuf,
    queried: Mutex<Option<(Instant, bool)>>,
    stop_percent: f64,
    stop_after: u64,
    outage: Outage,
    by_files: Option<Rate>,
    by_bytes: Option<Arc<Rate>>,
}

impl Limits {
    pub(super) fn new(flags: &PaceFlags, target: &Target) -> Self {
        let files = flags
            .limit
            .map(|most| i64::try_from(most).unwrap_or(i64::MAX));
        Self {
            files: files.map(AtomicI64::new),
            free_until: flags.free_until,
            root: target.root.clone(),
            queried: Mutex::new(None),
            stop_percent: flags.stop_percent,
            stop_after: flags.stop_after,
            outage: Outage::default(),
            by_files: flags
                .files_per_second
                .map(|files| Rate::new(files, interrupted)),
            by_bytes: flags.bytes_per_second.map(bytes_per_second),
        }
    }

    /// Whether the run should take no more files: interrupted, stopped, or a limit is reached.
    pub(super) fn enough(&self, tally: &Tally) -> bool {
        interrupted()
            || self.outage.is_over()
            || self
                .files
                .as_ref()
                .is_some_and(|left| left.load(Ordering::Relaxed) <= 0)
            || self.too_much_failed(tally)
            || self.enough_is_free()
    }

    /// Reserves one file of `--limit`. Returns false if none is left.
    pub(super) fn take(&self) -> bool {
        let Some(left) = &self.files else {
            return true;
        };
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            (left > 0).then(|| left - 1)
        });
        taken.is_ok()
    }

    /// Returns a reservation: the file was skipped.
    pub(super) fn give_back(&self) {
        if let Some(left) = &self.files {
            left.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits as `--files-per-second` requires.
    pub(super) fn wait_for_a_turn(&self) {
        if let Some(rate) = &self.by_files {
            rate.wait(1.0);
        }
    }

    /// The limit of the bytes sent (`--bytes-per-second`).
    pub(super) fn rate(&self) -> Option<&Arc<Rate>> {
        self.by_bytes.as_ref()
    }

    pub(super) fn succeeded(&self) {
        self.outage.succeeded();
    }

    /// Records a failure, and stops the run if it affects every file. Returns whether to print it: once the run is
    /// stopping because of the store, files in flight fail for the same reason.
    pub(super) fn failed(&self, problem: &Problem) -> bool {
        match problem.store() {
            None => true,
            // An upload that is refused is one of our own objects, as all others will be.
            Some(error @ StoreError::PermissionDenied(_)) => self.outage.stop(error.to_string()),
            Some(error) => self.outage.failed(error),
        }
    }

    fn too_much_failed(&self, tally: &Tally) -> bool {
        let (failed, tried) = tally.failures();
        #[allow(clippy::cast_precision_loss, reason = "a share need not be exact")]
        let too_many = failed as f64 * 100.0 > self.stop_percent * tried as f64;
        tried >= self.stop_after && too_many
    }

    fn enough_is_free(&self) -> bool {
        let Some(wanted) = self.free_until else {
            return false;
        };
        let mut queried = self.queried.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, answer)) = *queried
            && when.elapsed() < QUERY_INTERVAL
        {
            return answer;
        }
        let answer = free_percent(&self.root).is_some_and(|free| free >= wanted);
        *queried = Some((Instant::now(), answer));
        answer
    }

    /// The failure that stopped the run, if one did.
    pub(super) fn why(&self) -> Option<String> {
        self.outage.why()
    }

    /// The run's result, for the exit code.
    pub(super) fn ended(&self, tally: &Tally) -> Ended {
        if interrupted() {
            Ended::Interrupted
        } else if self.outage.is_over() || self.too_much_failed(tally) {
            Ended::Early
        } else if tally.any_failed() {
            Ended::WithFailures
        } else {
            Ended::Well
        }
    }
}

/// The limit of `--bytes-per-second`. A signal lifts it, so that what was begun is soon finished.
pub(crate) fn bytes_per_second(bytes: u64) -> Arc<Rate> {
    #[allow(clippy::cast_precision_loss, reason = "a rate need not be exact")]
    let bytes = bytes.max(1) as f64;
    Arc::new(Rate::new(bytes, interrupted))
}

/// Percentage of a file system that is free to ordinary users; `None` if it cannot be queried.
pub(crate) fn free_percent(root: &std::path::Path) -> Option<f64> {
    let all = rustix::fs::statvfs(root).ok()?;
    #[allow(clippy::cast_precision_loss, reason = "a share need not be exact")]
    (all.f_blocks > 0).then(|| all.f_bavail as f64 * 100.0 / all.f_blocks as f64)
}
