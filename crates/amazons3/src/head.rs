// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Queries an object's size, version, checksum and metadata by HEAD.

#![forbid(unsafe_code)]

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use cloudsync_store::checksum::Algorithm;
use cloudsync_store::{Checksum, Metadata, Object, StoreError};

use crate::direct::{Asked, Head};
use crate::failure::{self, without_reason};
use crate::metadata::{self, CHECKSUM_METADATA};
use crate::s3::S3;
use cloudsync_store::network::Failure;
use cloudsync_store::network::persist;

/// Queries the object `key`.
pub(crate) async fn head(store: &S3, key: &str) -> Result<Object, StoreError> {
    describe(store, key).await.map(|(object, _)| object)
}

/// Queries the object `key` and its metadata.
pub(crate) async fn describe(store: &S3, key: &str) -> Result<(Object, Metadata), StoreError> {
    persist(store.settings.retries, async || once(store, key).await).await
}

/// The storage class of an object.
pub(crate) async fn class(store: &S3, key: &str) -> Result<String, StoreError> {
    let answer = persist(store.settings.retries, async || ask(store, key).await).await?;
    // Amazon's leaves it out for this one.
    let class = answer.storage_class().map(|class| class.as_str());
    Ok(class.unwrap_or("STANDARD").to_owned())
}

async fn once(store: &S3, key: &str) -> Result<(Object, Metadata), Failure> {
    let answer = ask(store, key).await?;
    let mut metadata = metadata::decode(answer.metadata());
    // Our own entry, which is returned as part of the object.
    metadata.remove(CHECKSUM_METADATA);
    Ok((object(&answer, &store.place)?, metadata))
}

async fn ask(store: &S3, key: &str) -> Result<HeadObjectOutput, Failure> {
    let in_bucket = store.settings.key(key);
    match store.direct.head(&in_bucket, &store.place).await? {
        Asked::Answer(answer) => return Ok(read(&answer)),
        // A HEAD has no words for it.
        Asked::Refused(status) => {
            let failure = failure::of_status(status, &store.place, failure::GET);
            return Err(reason(store, key, failure).await);
        }
        Asked::Unknown => {}
    }
    let request = store.client.head_object().bucket(&store.settings.bucket);
    let request = request.key(&in_bucket).checksum_mode(ChecksumMode::Enabled);
    let request = request
        .customize()
        .interceptor(store.direct.watching(&in_bucket));
    match request.send().await {
        Ok(answer) => {
            store.direct.learn(false);
            Ok(answer)
        }
        Err(error) => {
            let failure = failure::of(&error, &store.place, failure::GET);
            if failure.passing || !without_reason(&error) {
                return Err(failure);
            }
            Err(reason(store, key, failure).await)
        }
    }
}

/// Reads of an answer what is used here.
fn read(answer: &Head) -> HeadObjectOutput {
    let header = |name: &str| answer.headers().get(name).map(str::to_owned);
    let length = header("content-length").and_then(|text| text.parse().ok());
    let metadata = answer.headers().iter().filter_map(|(name, value)| {
        let name = name.strip_prefix(metadata::PREFIX)?;
        Some((name.to_owned(), value.to_owned()))
    });
    HeadObjectOutput::builder()
        .set_content_length(length)
        .set_e_tag(header("etag"))
        .set_storage_class(header("x-amz-storage-class").map(|text| text.as_str().into()))
        .set_checksum_type(header("x-amz-checksum-type").map(|text| text.as_str().into()))
        .set_checksum_crc64_nvme(header("x-amz-checksum-crc64nvme"))
        .set_checksum_crc32_c(header("x-amz-checksum-crc32c"))
        .set_checksum_crc32(header("x-amz-checksum-crc32"))
        .set_metadata(Some(metadata.collect()))
        .build()
}

/// Sends a GET of one byte to find out why the store refused the HEAD with `failure`.
async fn reason(store: &S3, key: &str, failure: Failure) -> Failure {
    let request = store.client.get_object().bucket(&store.settings.bucket);
    let request = request.key(store.settings.key(key)).range("bytes=0-0");
    match request.send().await {
        Err(error) if without_reason(&error) => failure,
        Err(error) => failure::of(&error, &store.place, failure::GET),
        // The key, the permission or the object has changed in between.
        Ok(_) => {
            store.direct.learn(true);
            let passing = matches!(
                failure.error,
                StoreError::PermissionDenied(_) | StoreError::Missing(_)
            );
            Failure { passing, ..failure }
        }
    }
}

fn object(answer: &HeadObjectOutput, place: &str) -> Result<Object, Failure> {
    let size = answer
        .content_length()
        .and_then(|length| u64::try_from(length).ok());
    let size = size.ok_or_else(|| {
        Failure::final_(StoreError::Other(format!(
            "the store did not return the object's size ({place})"
        )))
    })?;
    Ok(Object {
        size,
        etag: answer.e_tag().map(str::to_owned),
        checksum: checksum(answer),
    })
}

/// Returns the checksum of the whole object, if the store has one that we can compute. That of a multipart upload is
/// usually a checksum of the parts' checksums, and not usable.
fn checksum(answer: &HeadObjectOutput) -> Option<Checksum> {
    let in_parts = answer.e_tag().is_some_and(|etag| etag.contains('-'));
    let whole = match answer.checksum_type() {
        Some(kind) => *kind == ChecksumType::FullObject,
        None => !in_parts,
    };
    let headers = [
        (Algorithm::Crc64Nvme, answer.checksum_crc64_nvme()),
        (Algorithm::Crc32c, answer.checksum_crc32_c()),
        (Algorithm::Crc32, answer.checksum_crc32()),
    ];
    let of_store = headers
        .into_iter()
        .find_map(|(algorithm, text)| Checksum::from_base64(algorithm, text?))
        .filter(|_| whole);
    of_store.or_else(|| Checksum::parse(answer.metadata()?.get(CHECKSUM_METADATA)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRC32: &str = "crc32:y/Q5Jg==";
    const CRC64: &str = "crc64nvme:rosUhgp5mIg=";

    #[test]
    fn only_a_checksum_of_the_whole_object_counts() {
        let answer = || HeadObjectOutput::builder().checksum_crc32("y/Q5Jg==");
        let text =
            |answer: HeadObjectOutput| checksum(&answer).map(|checksum| checksum.to_string());
        assert_eq!(text(answer().build()).as_deref(), Some(CRC32));
        assert_eq!(text(answer().e_tag("\"abc-3\"").build()), None);
        assert_eq!(
            text(answer().checksum_type(ChecksumType::Composite).build()),
            None
        );
        let full = answer()
            .checksum_type(ChecksumType::FullObject)
            .e_tag("\"abc-3\"");
        assert_eq!(text(full.build()).as_deref(), Some(CRC32));
        assert_eq!(
            text(
                HeadObjectOutput::builder()
                    .checksum_crc32("y/Q5Jg==-3")
                    .build()
            ),
            None
        );
        assert_eq!(text(HeadObjectOutput::builder().build()), None);
    }

    #[test]
    fn metadata_stands_in_and_the_longest_checksum_wins() {
        let meta = HeadObjectOutput::builder().metadata(CHECKSUM_METADATA, CRC64);
        assert_eq!(checksum(&meta.build()).unwrap().to_string(), CRC64);
        let two = HeadObjectOutput::builder().checksum_crc32("y/Q5Jg==");
        let two = two
            .checksum_crc64_nvme("rosUhgp5mIg=")
            .metadata(CHECKSUM_METADATA, CRC32);
        assert_eq!(checksum(&two.build()).unwrap().to_string(), CRC64);
        let nonsense = HeadObjectOutput::builder().metadata(CHECKSUM_METADATA, "md5:AAAA");
        assert_eq!(checksum(&nonsense.build()), None);
    }
}
