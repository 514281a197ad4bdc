// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The requests of an upload in parts.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use cloudsync_store::checksum::Algorithm;
use cloudsync_store::network::Failure;
use cloudsync_store::network::memory::Piece;
use cloudsync_store::network::upload::COMPLETING;
use cloudsync_store::{Rate, StoreError};

use super::attempt::Attempt;
use super::body::InPieces;
use super::request::{ALGORITHMS, Named, Put, body, meaning, patient};
use crate::failure;
use crate::line::Line;
use crate::place::Place;

/// Starts a multipart upload and returns its id.
pub(super) async fn create(put: &Put<'_>) -> Result<String, Failure> {
    let algorithm = put.native().map(|algorithm| match algorithm {
        Algorithm::Crc64Nvme => ChecksumAlgorithm::Crc64Nvme,
        Algorithm::Crc32c => ChecksumAlgorithm::Crc32C,
        Algorithm::Crc32 => ChecksumAlgorithm::Crc32,
    });
    let request = put.store.client.create_multipart_upload();
    let request = request
        .bucket(&put.store.settings.bucket)
        .key(put.store.settings.key(put.key))
        .set_metadata(Some(put.metadata.clone()))
        .set_checksum_type(put.of_the_whole().then_some(ChecksumType::FullObject))
        .set_checksum_algorithm(algorithm);
    let answer = request.send().await;
    let answer = answer.map_err(|error| meaning(put, &error, false))?;
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
    named: Named,
    rate: Option<Arc<Rate>>,
    place: Place,
}

impl Part {
    pub(super) fn new(put: &Put<'_>, id: &str, number: i32, named: Named) -> Self {
        Self {
            client: put.store.client.clone(),
            bucket: put.store.settings.bucket.clone(),
            key: put.store.settings.key(put.key),
            id: id.to_owned(),
            connect_timeout: put.store.settings.connect_timeout,
            line: Arc::clone(&put.store.line),
            least: put.store.settings.stall_timeout,
            number,
            named,
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
        let Named([crc64, crc32c, crc32]) = self.named.clone();
        let request = self.client.upload_part().bucket(&self.bucket);
        let request = request
            .key(&self.key)
            .upload_id(&self.id)
            .part_number(self.number)
            .set_content_md5(self.place.content_md5(&piece.bytes()))
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
        let Named([crc64, crc32c, crc32]) = self.named.clone();
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
    let of_the_whole = put.of_the_whole();
    let whole = of_the_whole.then_some(ChecksumType::FullObject);
    let checksum = put.upload.checksum;
    let [crc64, crc32c, crc32] = ALGORITHMS
        .map(|algorithm| (of_the_whole && algorithm == put.algorithm()).then(|| checksum.base64()));
    let condition = put.only_if_none();
    let conditional = condition.is_some();
    let request = put.store.client.complete_multipart_upload();
    let request = request
        .bucket(&put.store.settings.bucket)
        .key(put.store.settings.key(put.key))
        .upload_id(id)
        .set_if_none_match(condition)
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
    sent.map(drop)
        .map_err(|error| meaning(put, &error, conditional))
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
