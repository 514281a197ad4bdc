// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! PUT: an object where there was none, whole and proven, or an error and nothing that can be seen under its key.
//!
//! Up to one part goes in one request. More goes in parts: the thread of the caller reads them in order, several are
//! on their way at once, and all uploads of a store together hold no more than a fixed number of bytes. The bytes that are
//! sent are those that were summed up: every part's checksum is computed from the buffer that is sent, and their
//! sum must be the checksum that the caller has announced.

#![forbid(unsafe_code)]

use cloudsync_store::network::upload::{PART, check, part_size};
use cloudsync_store::{Object, StoreError, Tries, Upload};
use tokio::time::sleep;

use self::request::{Put, body};
use crate::head::head;
use crate::metadata::{self, CHECKSUM_METADATA};
use crate::s3::S3;

mod parts;
mod request;

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
        // The store has compared the bytes with their checksum, or with the SHA-256 that the request is signed with,
        // and has answered that it keeps them. Asking it once more would show what was sent beside them.
        if let Some(etag) = put.whole().await? {
            return Ok(Object {
                size: upload.size,
                etag: Some(etag),
                checksum: Some(upload.checksum),
            });
        }
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

impl Put<'_> {
    /// In one request. Returns the store's version of the object, if its answer tells.
    async fn whole(&self) -> Result<Option<String>, StoreError> {
        let size = self.upload.size;
        let room = self.store.memory.take(size).await?;
        let (piece, checksum) = room.read(self.upload.source, self.algorithm(), 0)?;
        check(self.upload, checksum)?;
        let mut tries = Tries::new(self.store.settings.retries);
        let mut first = true;
        loop {
            match request::put_object(self, body(&piece)).await {
                Ok(etag) => return Ok(etag),
                // Ours, perhaps: the answer to an earlier try may have been lost.
                Err(failure) if matches!(failure.error, StoreError::Exists(_)) => {
                    if !first && self.is_there().await? {
                        return Ok(None);
                    }
                    return Err(failure.error);
                }
                Err(failure) => sleep(tries.again(failure.error, failure.passing)?).await,
            }
            first = false;
        }
    }
}
