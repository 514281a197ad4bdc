// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What every upload needs, whatever client sends it: parts of a good size, patience, and the comparison of what was read
//! with what was announced.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::{Checksum, StoreError, Upload};

/// The least part, and the most that should go in one request.
pub const PART: u64 = 16 << 20;
/// No store takes more parts than this of one object.
const MOST_PARTS: u64 = 10_000;
/// A store may take its time to make an object of parts.
pub const COMPLETING: Duration = Duration::from_secs(120);
/// ... and to promise that it keeps what it has got.
const KEEPING: Duration = Duration::from_secs(30);
/// The answer to a request with a body comes when the body has arrived, and a line may be slow: bytes a second.
const SLOWEST: u64 = 128 << 10;

/// How long the answer to a request with so many bytes may take.
#[must_use]
pub const fn sending(bytes: u64) -> Duration {
    Duration::from_secs(KEEPING.as_secs() + bytes / SLOWEST)
}

/// Bytes of each part, so that there are not too many of them.
#[must_use]
pub fn part_size(size: u64) -> u64 {
    let least = size.div_ceil(MOST_PARTS);
    least.div_ceil(1 << 20).max(PART >> 20) << 20
}

/// Whether what was read for an upload, with the checksum `found`, is what the upload announced.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn check(upload: &Upload<'_>, found: Checksum) -> Result<(), StoreError> {
    let announced = upload.checksum;
    if found == announced {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!(
        "what was read for the upload has checksum {found}, should be {announced}"
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
