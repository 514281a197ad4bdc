// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! An upload, what its requests have in common, and the one that sends a whole object.

#![forbid(unsafe_code)]

use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder, Config};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use cloudsync_store::checksum::Algorithm;
use cloudsync_store::network::memory::Piece;
use cloudsync_store::{Checksum, StoreError, Upload};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::attempt::Attempt;
use super::body::InPieces;
use crate::failure;
use crate::head::{describe, head};
use crate::s3::S3;
use crate::settings::Sent;
use cloudsync_store::network::Failure;

/// An upload, with the data that its requests share.
pub(super) struct Put<'a> {
    pub(super) store: &'a S3,
    pub(super) key: &'a str,
    pub(super) upload: &'a Upload<'a>,
    pub(super) metadata: HashMap<String, String>,
}

/// A checksum in the field of its algorithm.
#[derive(Clone, Debug)]
pub(super) struct Named(pub(super) [Option<String>; 3]);

pub(super) const ALGORITHMS: [Algorithm; 3] =
    [Algorithm::Crc64Nvme, Algorithm::Crc32c, Algorithm::Crc32];

/// Makes a request body of these bytes, without copying.
pub(super) fn body(piece: &Piece) -> ByteStream {
    ByteStream::new(SdkBody::from(piece.bytes()))
}

/// Overrides the client's timeouts; `None`: the caller watches the request. With a read timeout, the rest of the answer
/// may take as long again.
pub(super) fn patient(connect: Duration, read: Option<Duration>) -> Builder {
    let timeouts = TimeoutConfig::builder().connect_timeout(connect);
    let timeouts = match read {
        Some(read) => timeouts
            .read_timeout(read)
            .operation_attempt_timeout(connect.saturating_add(read.saturating_mul(2))),
        None => timeouts
            .disable_read_timeout()
            .disable_operation_attempt_timeout(),
    };
    Config::builder().timeout_config(timeouts.build())
}

/// Classifies the failure of a request that should have created an object. `conditional`: only if there was none.
pub(super) fn meaning<E>(
    put: &Put<'_>,
    error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
    conditional: bool,
) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let action = put.store.settings.stored.actions();
    let mut failure = failure::of(error, &put.store.place, action);
    if conditional && failure::is_not_implemented(error) {
        put.store.unconditional.store(true, Ordering::Relaxed);
        failure.passing = true;
    }
    if let StoreError::Changed(why) = failure.error {
        failure.error = StoreError::Exists(why);
    }
    failure
}

impl Put<'_> {
    pub(super) fn algorithm(&self) -> Algorithm {
        self.upload.checksum.algorithm()
    }

    /// The checksum that the store's own fields have, so that it verifies it.
    pub(super) fn native(&self) -> Option<Algorithm> {
        match self.store.settings.checksum {
            Sent::Auto => self.store.settings.is_aws().then(|| self.algorithm()),
            Sent::Crc(algorithm) => Some(algorithm),
            Sent::Md5 | Sent::None => None,
        }
    }

    /// Whether the store gets the checksum of the whole object. Otherwise it gets those of the parts, as stores had it
    /// before Amazon knew anything else.
    pub(super) fn of_the_whole(&self) -> bool {
        self.native() == Some(self.algorithm())
    }

    /// The checksum of `bytes` in the store's own fields, if it has any there; `known` is the upload's kind of it.
    pub(super) fn named(&self, bytes: &[u8], known: Checksum) -> Named {
        let native = self.native();
        let of = |algorithm| match native {
            Some(native) if native == algorithm && native == known.algorithm() => {
                Some(known.base64())
            }
            Some(native) if native == algorithm => Some(algorithm.of(bytes).base64()),
            _ => None,
        };
        Named(ALGORITHMS.map(of))
    }

    pub(super) fn only_if_none(&self) -> Option<String> {
        (!self.store.unconditional.load(Ordering::Relaxed)).then(|| "*".to_owned())
    }

    /// Whether the key already has the object that we are uploading.
    pub(super) async fn is_there(&self) -> Result<bool, StoreError> {
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

    /// Fails if the key exists, for stores without conditional requests.
    pub(super) async fn refuse_existing(&self) -> Result<(), StoreError> {
        match head(self.store, self.key).await {
            Err(StoreError::Missing(_)) => Ok(()),
            Ok(_) => Err(StoreError::Exists(format!(
                "{} ({})",
                self.key, self.store.place
            ))),
            Err(error) => Err(error),
        }
    }
}

/// Sends the whole object in one request. Returns its version.
pub(super) async fn put_object(
    put: &Put<'_>,
    piece: &Piece,
    attempt: &Attempt<'_>,
) -> Result<Option<String>, Failure> {
    let condition = put.only_if_none();
    let conditional = condition.is_some();
    if !conditional {
        put.refuse_existing().await.map_err(Failure::final_)?;
    }
    let Named([crc64, crc32c, crc32]) = put.named(&piece.bytes(), put.upload.checksum);
    let request = put
        .store
        .client
        .put_object()
        .bucket(&put.store.settings.bucket);
    let request = request
        .key(put.store.settings.key(put.key))
        .set_metadata(Some(put.metadata.clone()))
        .set_if_none_match(condition)
        .set_content_md5(put.store.place.content_md5(&piece.bytes()))
        .set_checksum_crc64_nvme(crc64)
        .set_checksum_crc32_c(crc32c)
        .set_checksum_crc32(crc32)
        .body(body(piece));
    let in_pieces = InPieces {
        bytes: piece.bytes(),
        rate: put.upload.rate.cloned(),
        moved: attempt.moved(),
    };
    let sent = request
        .customize()
        .interceptor(in_pieces)
        .config_override(patient(put.store.settings.connect_timeout, None))
        .send();
    let sent = attempt.watch(sent).await?;
    sent.map(|answer| answer.e_tag().map(str::to_owned))
        .map_err(|error| meaning(put, &error, conditional))
}
