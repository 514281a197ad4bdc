// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A request that failed, and asking again where nothing but time has to pass in between.

#![forbid(unsafe_code)]

use tokio::time::sleep;

use crate::{StoreError, Tries};

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What that means.
    pub error: StoreError,
    /// Whether it may pass.
    pub passing: bool,
}

impl Failure {
    /// Asking again would not help.
    #[must_use]
    pub const fn final_(error: StoreError) -> Self {
        Self {
            error,
            passing: false,
        }
    }

    /// The store at `place` did not deliver; it may next time.
    #[must_use]
    pub fn passing(why: &str, place: &str) -> Self {
        Self {
            error: StoreError::Unreachable(format!("{why} ({place})")),
            passing: true,
        }
    }
}

/// Does `once` until it succeeds, fails in a way that does not pass, or has failed `retries` times and once more.
///
/// # Errors
/// Its last one.
pub async fn persist<T>(
    retries: u32,
    mut once: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<T, StoreError> {
    let mut tries = Tries::new(retries);
    loop {
        match once().await {
            Ok(done) => return Ok(done),
            Err(failure) => sleep(tries.again(failure.error, failure.passing)?).await,
        }
    }
}
