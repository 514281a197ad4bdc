// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The requests of an upload.

#![forbid(unsafe_code)]

use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder, Config};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use cloudsync_store::checksum::Algorithm;
use cloudsync_store::network::memory::Piece;
use cloudsync_store::network::upload::COMPLETING;
use cloudsync_store::{Checksum, Rate, StoreError, Upload};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::attempt::Attempt;
use super::body::InPieces;
use crate::failure;
use crate::head::{describe, head};
use crate::line::Line;
use crate::s3::{Place, S3};
use cloudsync_store::network::Failure;

/// An upload, with the data that its requests share.
pub(super) struct Put<'a> {
    pub(super) store: &'a S3,
    pub(super) key: &'a str,
    pub(super) upload: &'a Upload<'a>,
    pub(super) metadata: HashMap<String, String>,
}

/// Makes a request body of these bytes, without copying.
fn body(piece: &Piece) -> ByteStream {
    ByteStream::new(SdkBody::from(piece.bytes()))
}

/// Overrides the client's read timeout; `None`: the caller watches the request.
fn patient(connect: Duration, read: Option<Duration>) -> Builder {
    let timeouts = TimeoutConfig::builder().connect_timeout(connect);
    let timeouts = match read {
        Some(read) => timeouts.read_timeout(read),
        None => timeouts.disable_read_timeout(),
    };
    Config::builder().timeout_config(timeouts.build())
}

/// Classifies the failure of a request that should have created an object.
fn meaning<E>(put: &Put<'_>, error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let code = error
        .as_service_error()
        .and_then(|error| error.meta().code());
    if code == Some("NotImplemented") {
        put.store.unconditional.store(true, Ordering::Relaxed);
    }
    let action = put.store.settings.stored.actions();
    let mut failure = failure::of(error, &put.store.place, action);
    if let StoreError::Changed(why) = failure.error {
        failure.error = StoreError::Exists(why);
    }
    failure
}

impl Put<'_> {
    pub(super) fn algorithm(&self) -> Algorithm {
        self.upload.checksum.algorithm()
    }

    /// Whether the checksum is sent in S3's own header, so that the store verifies it.
    fn native(&self) -> bool {
        self.store.settings.checksum_when_supported || self.store.settings.is_aws()
    }

    /// The checksum in the store's own fields, by algorithm, if it is sent there.
    pub(super) fn named(&self, checksum: Checksum) -> [Option<String>; 3] {
        let of = |algorithm| {
            (self.native() && checksum.algorithm() == algorithm).then(|| checksum.base64())
        };
        [Algorithm::Crc64Nvme, Algorithm::Crc32c, Algorithm::Crc32].map(of)
    }

    fn only_if_none(&self) -> Option<String> {
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
    pub(super) async fn refuse_existing(&self) -> Result<(), Failure> {
        match head(self.store, self.key).await {
            Err(StoreError::Missing(_)) => Ok(()),
            Ok(_) => Err(Failure::final_(StoreError::Exists(format!(
                "{} ({})",
                self.key, self.store.place
            )))),
            Err(error) => Err(Failure::final_(error)),
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
    if condition.is_none() {
        put.refuse_existing().await?;
    }
    let [crc64, crc32c, crc32] = put.named(put.upload.checksum);
    let request = put
        .store
        .client
        .put_object()
        .bucket(&put.store.settings.bucket);
    let request = request
        .key(put.store.settings.key(put.key))
        .set_metadata(Some(put.metadata.clone()))
        .set_if_none_match(condition)
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
        .map_err(|error| meaning(put, &error))
}

/// Starts a multipart upload and returns its id.
pub(super) async fn create(put: &Put<'_>) -> Result<String, Failure> {
    let algorithm = put.native().then(|| match put.algorithm() {
        Algorithm::Crc64Nvme => ChecksumAlgorithm::Crc64Nvme,
        Algorithm::Crc32c => ChecksumAlgorithm::Crc32C,
        Algorithm::Crc32 => ChecksumAlgorithm::Crc32,
    });
    let request = put.store.client.create_multipart_upload();
    let request = request
        .bucket(&put.store.settings.bucket)
        .key(put.store.settings.key(put.key))
        .set_metadata(Some(put.metadata.clone()))
        .set_checksum_type(algorithm.is_some().then_some(ChecksumType::FullObject))
        .set_checksum_algorithm(algorithm);
    let answer = request.send().await.map_err(|error| meaning(put, &error))?;
    answer.upload_id.ok_or_else(|| {
        let why = format!("the store returned no upload id ({})", put.store.place);
        Failure::final_(StoreError::Other(why))
    })
}

/// One part, with all that a task of the runtime needs to send it.
pub(super) struct Part {
    client: Client,
    bucket: String,
    key: String,
    id: String,
    connect_timeout: Duration,
    line: Arc<Line>,
    /// The shortest silence that counts as one.
    least: Duration,
    number: i32,
    named: [Option<String>; 3],
    rate: Option<Arc<Rate>>,
    place: Place,
}

impl Part {
    pub(super) fn new(put: &Put<'_>, id: &str, number: i32, checksum: Checksum) -> Self {
        Self {
            client: put.store.client.clone(),
            bucket: put.store.settings.bucket.clone(),
            key: put.store.settings.key(put.key),
            id: id.to_owned(),
            connect_timeout: put.store.settings.connect_timeout,
            line: Arc::clone(&put.store.line),
            least: put.store.settings.stall_timeout,
            number,
            named: put.named(checksum),
            rate: put.upload.rate.cloned(),
            place: put.store.place.clone(),
        }
    }

    /// Begins an attempt to send it, after so many that failed.
    pub(super) fn attempt(&self, piece: &Piece, tried: u32) -> Attempt<'_> {
        let size = piece.bytes().len() as u64;
        Attempt::new(&self.line, self.least, &self.place, size, tried)
    }

    pub(super) async fn send(
        &self,
        piece: &Piece,
        attempt: &Attempt<'_>,
    ) -> Result<CompletedPart, Failure> {
        let [crc64, crc32c, crc32] = self.named.clone();
        let request = self.client.upload_part().bucket(&self.bucket);
        let request = request
            .key(&self.key)
            .upload_id(&self.id)
            .part_number(self.number)
            .set_checksum_crc64_nvme(crc64)
            .set_checksum_crc32_c(crc32c)
            .set_checksum_crc32(crc32)
            .body(body(piece));
        let in_pieces = InPieces {
            bytes: piece.bytes(),
            rate: self.rate.clone(),
            moved: attempt.moved(),
        };
        let sent = request
            .customize()
            .interceptor(in_pieces)
            .config_override(patient(self.connect_timeout, None))
            .send();
        let sent = attempt.watch(sent).await?;
        let answer = sent.map_err(|error| failure::of(&error, &self.place, failure::PUT))?;
        let [crc64, crc32c, crc32] = self.named.clone();
        Ok(CompletedPart::builder()
            .part_number(self.number)
            .set_e_tag(answer.e_tag)
            .set_checksum_crc64_nvme(crc64)
            .set_checksum_crc32_c(crc32c)
            .set_checksum_crc32(crc32)
            .build())
    }
}

/// Completes the upload.
pub(super) async fn complete(
    put: &Put<'_>,
    id: &str,
    parts: Vec<CompletedPart>,
) -> Result<(), Failure> {
    let [crc64, crc32c, crc32] = put.named(put.upload.checksum);
    let whole = put.native().then_some(ChecksumType::FullObject);
    let request = put.store.client.complete_multipart_upload();
    let request = request
        .bucket(&put.store.settings.bucket)
        .key(put.store.settings.key(put.key))
        .upload_id(id)
        .set_if_none_match(put.only_if_none())
        .set_checksum_type(whole)
        .set_checksum_crc64_nvme(crc64)
        .set_checksum_crc32_c(crc32c)
        .set_checksum_crc32(crc32)
        .multipart_upload(
            CompletedMultipartUpload::builder()
                .set_parts(Some(parts))
                .build(),
        );
    let sent = request
        .customize()
        .config_override(patient(
            put.store.settings.connect_timeout,
            Some(put.store.settings.read_timeout.max(COMPLETING)),
        ))
        .send()
        .await;
    sent.map(drop).map_err(|error| meaning(put, &error))
}

/// Aborts an upload. If that fails too, `gc` finds it later.
pub(super) async fn abort(put: &Put<'_>, id: &str) {
    let request = put.store.client.abort_multipart_upload();
    let request = request
        .bucket(&put.store.settings.bucket)
        .key(put.store.settings.key(put.key))
        .upload_id(id);
    let _ = request.send().await;
}
