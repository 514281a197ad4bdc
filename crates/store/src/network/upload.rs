// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What every upload needs, whatever client sends it: a bound on the memory of all of them, parts of a good size, and
//! pieces of a source with their checksums.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::checksum::Algorithm;
use crate::{Checksum, Source, StoreError, Upload};

/// Bytes of all uploads in flight.
const MEMORY: usize = 128 << 20;
/// The least part, and the most that should go in one request.
pub const PART: u64 = 16 << 20;
/// No store takes more parts than this of one object.
const MOST_PARTS: u64 = 10_000;
/// The answer to a request with a body comes when the body has arrived, and a line may be slow.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What bounds the uploads of a store.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Semaphore>);

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MEMORY >> 10)))
    }
}

impl Memory {
    /// Waits until there is room for a buffer of so many bytes.
    ///
    /// # Errors
    /// None that happens: the semaphore is never closed.
    pub async fn take(&self, bytes: u64) -> Result<OwnedSemaphorePermit, StoreError> {
        // A part of a huge file may be larger than everything: it goes alone.
        let kib = bytes.div_ceil(1 << 10).clamp(1, (MEMORY >> 10) as u64);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.0).acquire_many_owned(kib).await;
        taken.map_err(|error| StoreError::Other(error.to_string()))
    }
}

/// Bytes of each part, so that there are not too many of them.
#[must_use]
pub fn part_size(size: u64) -> u64 {
    let least = size.div_ceil(MOST_PARTS);
    least.div_ceil(1 << 20).max(PART >> 20) << 20
}

/// The bytes from `offset` on, and their checksum.
///
/// # Errors
/// [`StoreError::Source`].
pub fn read(
    source: &dyn Source,
    algorithm: Algorithm,
    offset: u64,
    size: u64,
) -> Result<(Vec<u8>, Checksum), StoreError> {
    let failed = |error: &dyn std::fmt::Display| StoreError::Source(error.to_string());
    let size = usize::try_from(size).map_err(|error| failed(&error))?;
    let mut bytes = vec![0; size];
    source
        .read_exact_at(&mut bytes, offset)
        .map_err(|error| failed(&error))?;
    let checksum = algorithm.of(&bytes);
    Ok((bytes, checksum))
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
