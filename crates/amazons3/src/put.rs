// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! PUT: an object where there was none, whole and proven, or an error and nothing that can be seen under its key.
//!
//! Up to one part goes in one request. More goes in parts: the thread of the caller reads them in order, several are
//! on their way at once, and all uploads of a store together hold no more than [`MEMORY`] bytes. The bytes that are
//! sent are those that were summed up: every part's checksum is computed from the buffer that is sent, and their
//! sum must be the checksum that the caller has announced.

#![forbid(unsafe_code)]

use std::sync::Arc;

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use cloudsync_store::checksum::Algorithm;
use cloudsync_store::{Checksum, Object, Source, StoreError, Tries, Upload};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::head::{CHECKSUM_METADATA, describe, head};
use crate::metadata;
use crate::store::S3;

mod parts;
mod request;

/// Bytes of all uploads in flight.
const MEMORY: usize = 128 << 20;
/// The least part, and the most that goes in one request.
const PART: u64 = 16 << 20;
/// S3's limit.
const MOST_PARTS: u64 = 10_000;

/// What bounds the uploads of a store.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Semaphore>);

impl Memory {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MEMORY >> 10)))
    }

    /// Waits until there is room for a buffer of so many bytes.
    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, StoreError> {
        // A part of a huge file may be larger than everything: it goes alone.
        let kib = bytes.div_ceil(1 << 10).clamp(1, MEMORY >> 10);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.0).acquire_many_owned(kib).await;
        taken.map_err(|error| StoreError::Other(error.to_string()))
    }
}

/// An upload with everything that its requests need to know.
struct Put<'a> {
    store: &'a S3,
    key: &'a str,
    upload: &'a Upload<'a>,
    metadata: std::collections::HashMap<String, String>,
}

/// Puts the object.
pub(crate) async fn put(store: &S3, key: &str, upload: &Upload<'_>) -> Result<Object, StoreError> {
    let mut metadata = metadata::encode(upload.metadata);
    metadata.insert(CHECKSUM_METADATA.to_owned(), upload.checksum.to_string());
    let put = Put {
        store,
        key,
        upload,
        metadata,
    };
    if upload.size <= PART {
        put.whole().await?;
    } else {
        parts::in_parts(&put, part_size(upload.size)).await?;
    }
    let object = head(store, key).await?;
    if object.size == upload.size && object.checksum == Some(upload.checksum) {
        return Ok(object);
    }
    let found = object
        .checksum
        .map_or_else(|| "none".to_owned(), |sum| sum.to_string());
    let why = format!(
        "sent {} bytes, checksum {}; the store has {} bytes, checksum {found} ({})",
        upload.size, upload.checksum, object.size, store.place
    );
    // It is ours and it is wrong.
    let _ = crate::list::delete(store, key).await;
    Err(StoreError::Corrupt(why))
}

/// Bytes of each part, so that there are not too many of them.
fn part_size(size: u64) -> u64 {
    let least = size.div_ceil(MOST_PARTS);
    least.div_ceil(1 << 20).max(PART >> 20) << 20
}

/// The bytes from `offset` on, and their checksum.
fn read(
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

/// The body once more: it is in memory, so this copies nothing.
fn again(body: &SdkBody) -> Result<ByteStream, StoreError> {
    let copy = body.try_clone().map(ByteStream::new);
    copy.ok_or_else(|| StoreError::Other("the SDK cannot repeat a body from memory".to_owned()))
}

impl Put<'_> {
    fn algorithm(&self) -> Algorithm {
        self.upload.checksum.algorithm()
    }

    fn check(&self, found: Checksum) -> Result<(), StoreError> {
        let announced = self.upload.checksum;
        if found == announced {
            return Ok(());
        }
        Err(StoreError::Corrupt(format!(
            "what was read for the upload has checksum {found}, should be {announced}"
        )))
    }

    /// In one request.
    async fn whole(&self) -> Result<(), StoreError> {
        let size = self.upload.size;
        let _room = self
            .store
            .memory
            .take(usize::try_from(size).unwrap_or(usize::MAX))
            .await?;
        let (bytes, checksum) = read(self.upload.source, self.algorithm(), 0, size)?;
        self.check(checksum)?;
        let body = SdkBody::from(bytes);
        let mut tries = Tries::new(self.store.settings.retries);
        let mut first = true;
        loop {
            let body = again(&body)?;
            match request::put_object(self, body).await {
                Ok(()) => return Ok(()),
                // Ours, perhaps: the answer to an earlier try may have been lost.
                Err(failure) if matches!(failure.error, StoreError::Exists(_)) => {
                    if !first && self.is_there().await? {
                        return Ok(());
                    }
                    return Err(failure.error);
                }
                Err(failure) => sleep(tries.again(failure.error, failure.passing)?).await,
            }
            first = false;
        }
    }

    /// Whether what is under the key is what we are about to put there.
    async fn is_there(&self) -> Result<bool, StoreError> {
        match describe(self.store, self.key).await {
            Ok((object, found)) => Ok(object.size == self.upload.size
                && object.checksum == Some(self.upload.checksum)
                && self
                    .upload
                    .metadata
                    .iter()
                    .all(|(name, value)| found.get(name) == Some(value))),
            Err(StoreError::Missing(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
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
