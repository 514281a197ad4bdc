// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Asks again, where nothing but time has to pass in between.

#![forbid(unsafe_code)]

use cloudsync_store::{StoreError, Tries};
use tokio::time::sleep;

use crate::failure::Failure;

/// Does `once` until it succeeds, fails in a way that does not pass, or has failed `retries` times and once more.
///
/// # Errors
/// Its last one.
pub(crate) async fn persist<T>(
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
