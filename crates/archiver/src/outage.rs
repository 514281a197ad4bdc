// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Decides from the errors of single files that a run should stop, because the next files would fail the same way.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use cloudsync_store::StoreError;

/// Consecutive files for which the store did not answer, had no space or no permission for. After this number the run
/// stops.
const MOST_IN_A_ROW: u64 = 16;

/// Why the work on one object failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The store's error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something else, as text for the user.
    #[error("{0}")]
    Other(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

/// The store's failures in one run.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    in_a_row: AtomicU64,
    fatal: OnceLock<String>,
}

impl Outage {
    /// The store has served a file.
    pub(crate) fn succeeded(&self) {
        self.in_a_row.store(0, Ordering::Relaxed);
    }

    /// Records a failure, and stops the run if it affects every file. Returns whether to print it: once the run is
    /// stopping because of the store, files in flight fail for the same reason.
    pub(crate) fn failed(&self, error: &StoreError) -> bool {
        match error {
            StoreError::BadCredentials(_) | StoreError::Settings(_) => self.stop(error.to_string()),
            // A single object may be another user's, or be encrypted for others.
            StoreError::PermissionDenied(_)
            | StoreError::Encrypted(_)
            | StoreError::Unreachable(_)
            | StoreError::Throttled(_)
            | StoreError::Full(_) => {
                let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
                if in_a_row >= MOST_IN_A_ROW {
                    self.stop(format!("{in_a_row} times in a row: {error}"))
                } else {
                    !self.is_over()
                }
            }
            _ => true,
        }
    }

    /// As [`failed`](Self::failed), if it is the store's error; any other is to be printed.
    pub(crate) fn counts(&self, trouble: &Trouble) -> bool {
        match trouble {
            Trouble::Store(error) => self.failed(error),
            Trouble::Other(_) => true,
        }
    }

    /// Stops the run. Returns false if it was stopping already.
    pub(crate) fn stop(&self, why: String) -> bool {
        self.fatal.set(why).is_ok()
    }

    /// Whether the run is stopping.
    pub(crate) fn is_over(&self) -> bool {
        self.fatal.get().is_some()
    }

    /// Why the run is stopping, if it is.
    pub(crate) fn why(&self) -> Option<String> {
        self.fatal.get().cloned()
    }
}

/// The end of a summary's line: why the run stopped, if it did.
pub(crate) fn ending(stopped: Option<&str>) -> String {
    stopped.map_or_else(String::new, |why| format!("; STOPPED: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        "says the test".to_owned()
    }

    #[test]
    fn only_failures_in_a_row_stop_the_run() {
        let outage = Outage::default();
        for _ in 0..3 * MOST_IN_A_ROW {
            assert!(outage.failed(&StoreError::Missing(text())));
            for _ in 1..MOST_IN_A_ROW {
                assert!(outage.failed(&StoreError::Unreachable(text())));
            }
            outage.succeeded();
        }
        assert!(!outage.is_over());
        for _ in 1..MOST_IN_A_ROW {
            assert!(outage.failed(&StoreError::PermissionDenied(text())));
        }
        assert!(!outage.is_over());
        // The last one is printed, later ones of the same kind are not.
        assert!(outage.failed(&StoreError::Throttled(text())));
        assert!(!outage.failed(&StoreError::Throttled(text())));
        assert!(outage.why().unwrap().starts_with("16 times in a row: "));
    }

    #[test]
    fn refused_credentials_stop_the_run_at_once() {
        let outage = Outage::default();
        assert!(outage.failed(&StoreError::BadCredentials(text())));
        assert!(outage.is_over() && !outage.failed(&StoreError::BadCredentials(text())));
    }
}
