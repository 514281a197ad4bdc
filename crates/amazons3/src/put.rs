// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Uploads an object to a key that does not exist yet: either the whole, verified object, or an error and no object.
//!
//! An object of up to one part is sent in one request. A larger one is sent in parts: the caller's thread reads them in
//! order, several are in flight at once, and all uploads of a store together use a limited amount of memory. Each
//! part's checksum is computed from the buffer that is sent, and the combined checksum must equal the one that the
//! caller has given. An upload that the line has interrupted is left for the next run, which sends only the parts that
//! are not there.

#![forbid(unsafe_code)]

use cloudsync_store::network::upload::{PART, check, part_size};
use cloudsync_store::{Object, StoreError, Tries, Upload};
use tokio::time::sleep;

use self::attempt::Attempt;
use self::request::Put;
use crate::head::describe;
use crate::metadata::{self, CHECKSUM_METADATA};
use crate::s3::S3;

mod attempt;
mod body;
mod multipart;
mod parts;
mod request;
mod resume;
mod tags;

/// Uploads the object.
pub(crate) async fn put(store: &S3, key: &str, upload: &Upload<'_>) -> Result<Object, StoreError> {
    let mut metadata = metadata::encode(upload.metadata);
    metadata.insert(CHECKSUM_METADATA.to_owned(), upload.checksum.to_string());
    let put = Put {
        store,
        key,
        upload,
        metadata,
    };
    let mut resumed = false;
    if upload.size <= PART {
        // The store has verified the bytes by their checksum, or by the SHA-256 in the request's signature, and
        // confirmed that it has stored them. A HEAD would only return the metadata that we sent.
        if let Some(etag) = put.whole().await? {
            return Ok(Object {
                size: upload.size,
                etag: Some(etag),
                checksum: Some(upload.checksum),
            });
        }
    } else {
        resumed = parts::in_parts(&put, part_size(upload.size)).await?;
    }
    let (object, found) = describe(store, key).await?;
    // A store without checksums returns the one that the upload was begun with, so it must have been for this file.
    if resumed && &found != upload.metadata {
        let why = format!(
            "{key} was begun for an earlier state of the file ({})",
            store.place
        );
        return Err(StoreError::Exists(why));
    }
    if object.size == upload.size && object.checksum == Some(upload.checksum) {
        if upload.size > PART {
            tags::tag(&put).await?;
        }
        return Ok(object);
    }
    let ours = !resumed && (found.is_empty() || &found == upload.metadata);
    let found = object
        .checksum
        .map_or_else(|| "none".to_owned(), |sum| sum.to_string());
    let why = format!(
        "sent {} bytes, checksum {}; the store has {} bytes, checksum {found} ({})",
        upload.size, upload.checksum, object.size, store.place
    );
    // We have just created it, and it is wrong. One that another run has begun, or written meanwhile, is not ours.
    if ours {
        let _ = crate::list::delete(store, key).await;
    }
    Err(StoreError::Corrupt(why))
}

impl Put<'_> {
    /// Uploads it in one request. Returns the object's version, if the response contains it.
    async fn whole(&self) -> Result<Option<String>, StoreError> {
        let size = self.upload.size;
        let room = self.store.memory.take(size).await?;
        let (piece, checksum) = room.read(self.upload.source, self.algorithm(), 0)?;
        check(self.upload, checksum)?;
        let mut tries = Tries::new(self.store.settings.retries);
        let mut first = true;
        loop {
            let attempt = Attempt::new(
                &self.store.line,
                self.store.settings.stall_timeout,
                &self.store.place,
                size,
                tries.failed(),
            );
            match request::put_object(self, &piece, &attempt).await {
                Ok(etag) => return Ok(etag),
                // It may be ours: the response to an earlier try may have been lost.
                Err(failure) if matches!(failure.error, StoreError::Exists(_)) => {
                    if !first && self.is_there().await? {
                        return Ok(None);
                    }
                    return Err(failure.error);
                }
                Err(failure) => {
                    attempt.count(&mut tries);
                    sleep(tries.again(failure.error, failure.passing)?).await;
                }
            }
            first = false;
        }
    }
}

#[cfg(test)]
mod tests;
