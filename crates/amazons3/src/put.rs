// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! PUT: an object where there was none, whole and proven, or an error and nothing that can be seen under its key.
//!
//! Up to one part goes in one request. More goes in parts: the thread of the caller reads them in order, several are
//! on their way at once, and all uploads of a store together hold no more than a fixed number of bytes. The bytes that are
//! sent are those that were summed up: every part's checksum is computed from the buffer that is sent, and their
//! sum must be the checksum that the caller has announced.

#![forbid(unsafe_code)]

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use cloudsync_store::checksum::Algorithm;
use cloudsync_store::network::memory::Piece;
use cloudsync_store::network::upload::{PART, check, part_size};
use cloudsync_store::{Object, StoreError, Tries, Upload};
use tokio::time::sleep;

use crate::head::{CHECKSUM_METADATA, describe, head};
use crate::metadata;
use crate::store::S3;

mod parts;
mod request;

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

/// The body of a request with these bytes; copies nothing.
fn body(piece: &Piece) -> ByteStream {
    ByteStream::new(SdkBody::from(piece.bytes()))
}

impl Put<'_> {
    fn algorithm(&self) -> Algorithm {
        self.upload.checksum.algorithm()
    }

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
