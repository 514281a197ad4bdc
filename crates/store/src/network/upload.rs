// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Common to all uploads: the size of parts, timeouts, and the check of the bytes that were read.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::{Checksum, StoreError, Upload};

/// Size of the smallest part in bytes, and of the largest upload in one request.
pub const PART: u64 = 16 << 20;
/// The largest number of parts that stores accept (the limit of S3).
const MOST_PARTS: u64 = 10_000;
/// Timeout for a store to assemble an object from its parts.
pub const COMPLETING: Duration = Duration::from_secs(120);

/// Size of each part in bytes: whole MiB, so that there are not too many parts.
#[must_use]
pub fn part_size(size: u64) -> u64 {
    let least = size.div_ceil(MOST_PARTS);
    least.div_ceil(1 << 20).max(PART >> 20) << 20
}

/// Waits until the upload's rate allows this number of bytes to be sent.
pub async fn turn(upload: &Upload<'_>, bytes: u64) {
    if let Some(rate) = upload.rate {
        #[allow(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        rate.turn(bytes as f64).await;
    }
}

/// Checks that the bytes read for an upload, with checksum `found`, are those that it announced.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn check(upload: &Upload<'_>, found: Checksum) -> Result<(), StoreError> {
    let announced = upload.checksum;
    if found == announced {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!(
        "the bytes read for the upload have checksum {found}, expected {announced}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_has_too_many_parts() {
        assert_eq!(part_size(PART + 1), PART);
        for size in [100 << 30, 5 << 40, (5 << 40) - 1] {
            let part = part_size(size);
            assert!(size.div_ceil(part) <= MOST_PARTS, "{size}");
            assert_eq!(part % (1 << 20), 0);
        }
    }
}
