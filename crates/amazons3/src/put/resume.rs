// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Finds the multipart upload that an earlier run has left for a key, and which of its parts hold the bytes to upload.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::time::SystemTime;

use aws_sdk_s3::types::{CompletedPart, EncodingType, MultipartUpload, Part as Listed};
use cloudsync_store::checksum::Algorithm;
use cloudsync_store::network::{decode_text, persist};
use cloudsync_store::{Checksum, StoreError};
use md5::{Digest, Md5};

use super::request::{Named, Put};
use crate::failure;

/// An upload and its parts by number.
#[derive(Debug, Default)]
pub(super) struct Begun {
    pub(super) id: String,
    parts: HashMap<i32, Listed>,
}

/// Whether a part is in the store already.
#[derive(Debug)]
pub(super) enum There {
    /// With these bytes: it need not be sent.
    Same(Box<CompletedPart>),
    /// No such part.
    No,
    /// Another one. The upload was begun for other bytes, or is in parts of another size.
    Other,
}

impl Begun {
    /// An upload without parts.
    pub(super) fn new(id: String) -> Self {
        Self {
            id,
            parts: HashMap::new(),
        }
    }

    /// The latest upload for the key, if there is one with parts. The store may not support or permit such a list; then
    /// everything is uploaded, so an error is none.
    pub(super) async fn find(put: &Put<'_>) -> Option<Self> {
        let id = latest(put).await?;
        let mut parts = HashMap::new();
        let mut marker = None;
        loop {
            let page = persist(put.store.settings.retries, async || {
                let request = put.store.client.list_parts();
                let request = request
                    .bucket(&put.store.settings.bucket)
                    .key(put.store.settings.key(put.key))
                    .upload_id(&id)
                    .set_part_number_marker(marker.clone());
                let page = request.send().await;
                let action = "s3:ListMultipartUploadParts";
                page.map_err(|error| failure::of(&error, &put.store.place, action))
            });
            let page = page.await.ok()?;
            let before = parts.len();
            for part in page.parts() {
                parts.insert(part.part_number()?, part.clone());
            }
            marker = page.next_part_number_marker().map(str::to_owned);
            // A page that brings nothing new would be asked for for ever.
            if page.is_truncated() != Some(true) || marker.is_none() || parts.len() == before {
                return (!parts.is_empty()).then_some(Self { id, parts });
            }
        }
    }

    /// Compares a part with the bytes that it should hold, by a checksum of ours if the store knows it, or else by the
    /// MD5 that its etag is.
    pub(super) fn part(&self, number: i32, bytes: &[u8], sum: Checksum, named: &Named) -> There {
        let Some(part) = self.parts.get(&number) else {
            return There::No;
        };
        let of_store = [
            part.checksum_crc64_nvme(),
            part.checksum_crc32_c(),
            part.checksum_crc32(),
        ];
        let mut sent = of_store.iter().zip(&named.0);
        let sent = sent.find_map(|(there, sent)| Some((*there)? == sent.as_ref()?));
        let own = match sum.algorithm() {
            Algorithm::Crc64Nvme => of_store[0],
            Algorithm::Crc32c => of_store[1],
            Algorithm::Crc32 => of_store[2],
        };
        let known = sent.or_else(|| own.map(|own| own == sum.base64()));
        let same = part.size() == i64::try_from(bytes.len()).ok()
            && match (known, part.e_tag()) {
                (Some(same), _) => same,
                (None, Some(etag)) => etag.trim_matches('"') == md5(bytes),
                (None, None) => false,
            };
        if !same {
            return There::Other;
        }
        let Named([crc64, crc32c, crc32]) = named.clone();
        let done = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(part.e_tag().map(str::to_owned))
            .set_checksum_crc64_nvme(crc64)
            .set_checksum_crc32_c(crc32c)
            .set_checksum_crc32(crc32);
        There::Same(Box::new(done.build()))
    }
}

/// As hexadecimal text.
pub(super) fn md5(bytes: &[u8]) -> String {
    let digest = Md5::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The id of the upload for the key that was begun last.
async fn latest(put: &Put<'_>) -> Option<String> {
    let key = put.store.settings.key(put.key);
    // One page: an archive's key is its own, so there is hardly more than one upload for it.
    let page = persist(put.store.settings.retries, async || {
        let request = put.store.client.list_multipart_uploads();
        let request = request
            .bucket(&put.store.settings.bucket)
            .prefix(&key)
            .encoding_type(EncodingType::Url);
        let page = request.send().await;
        let action = "s3:ListBucketMultipartUploads";
        page.map_err(|error| failure::of(&error, &put.store.place, action))
    });
    let page = page.await.ok()?;
    let ours = page.uploads().iter().filter(|upload| {
        let named = upload.key().map(|name| decode_text(name, true));
        named.as_ref() == Some(&key)
    });
    let begun = |upload: &&MultipartUpload| {
        let begun = upload.initiated().copied();
        begun.and_then(|begun| SystemTime::try_from(begun).ok())
    };
    ours.max_by_key(begun)?.upload_id().map(str::to_owned)
}

/// Whether an upload that failed with this error is kept, for the next run to go on with.
pub(super) const fn is_kept(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unreachable(_) | StoreError::Throttled(_) | StoreError::BadCredentials(_)
    )
}
