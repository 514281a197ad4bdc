// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A failed request, and retries of requests that need nothing but time in between.

#![forbid(unsafe_code)]

use tokio::time::sleep;

use crate::{StoreError, Tries};

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The error, by its meaning.
    pub error: StoreError,
    /// Whether a retry may succeed.
    pub passing: bool,
}

impl Failure {
    /// A failure that a retry would not change.
    #[must_use]
    pub const fn final_(error: StoreError) -> Self {
        Self {
            error,
            passing: false,
        }
    }

    /// A failure to answer of the store at `place`, which a retry may change.
    #[must_use]
    pub fn passing(why: &str, place: &str) -> Self {
        Self {
            error: StoreError::Unreachable(format!("{why} ({place})")),
            passing: true,
        }
    }
}

/// Calls `once` until it succeeds, fails permanently, or has been retried `retries` times in a row.
///
/// # Errors
/// The error of the last attempt.
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
