// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Lists and deletes objects, and finds unfinished multipart uploads.

#![forbid(unsafe_code)]

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::types::{
    Delete, EncodingType, Error as Refusal, MultipartUpload, Object as Entry, ObjectIdentifier,
};
use cloudsync_store::{Listed, StoreError};

use crate::failure;
use crate::s3::S3;
use cloudsync_store::network::{Circle, decode_text, persist};

/// The permission to delete objects.
const DELETE: &str = "s3:DeleteObject";

/// Converts the store's key to ours; `None` if it does not have our prefix.
fn own(store: &S3, key: &str) -> Option<String> {
    let key = decode_text(key, true);
    key.strip_prefix(&store.settings.prefix).map(str::to_owned)
}

/// Returns a page of a listing, and the token of the next page.
pub(crate) async fn page(
    store: &S3,
    prefix: &str,
    token: Option<String>,
    circle: &mut Circle<String>,
) -> Result<(Vec<Listed>, Option<String>), StoreError> {
    let page = persist(store.settings.retries, async || {
        let request = store
            .client
            .list_objects_v2()
            .bucket(&store.settings.bucket);
        let request = request
            .prefix(store.settings.key(prefix))
            .encoding_type(EncodingType::Url)
            .set_continuation_token(token.clone());
        let page = request.send().await;
        page.map_err(|error| failure::of(&error, &store.place, "s3:ListBucket"))
    })
    .await?;
    let entries = page.contents().iter();
    let found = entries.filter_map(|entry| listed(store, entry)).collect();
    let truncated = page.is_truncated();
    let next = match page.next_continuation_token {
        // Some servers send an empty token with the last page.
        Some(token) if token.is_empty() && truncated == Some(false) => None,
        token => token,
    };
    check(store, truncated == Some(true), next.as_deref())?;
    check_circle(store, next.as_ref(), circle)?;
    Ok((found, next))
}

/// Refuses a truncated page without a valid marker, because the missing objects would be regarded as deleted.
fn check(store: &S3, truncated: bool, next: Option<&str>) -> Result<(), StoreError> {
    match next {
        Some("") => Err(untrusted(store, "the marker of the next page is empty")),
        None if truncated => Err(untrusted(
            store,
            "a truncated page has no marker of the next page",
        )),
        _ => Ok(()),
    }
}

fn check_circle<Next: PartialEq + Clone>(
    store: &S3,
    next: Option<&Next>,
    circle: &mut Circle<Next>,
) -> Result<(), StoreError> {
    match next {
        Some(next) if circle.closes(next) => Err(untrusted(
            store,
            "the marker of the next page repeats an earlier one",
        )),
        _ => Ok(()),
    }
}

fn untrusted(store: &S3, why: &str) -> StoreError {
    StoreError::Other(format!(
        "{}: the server's list cannot be trusted: {why}",
        store.place
    ))
}

fn listed(store: &S3, entry: &Entry) -> Option<Listed> {
    Some(Listed {
        key: own(store, entry.key()?)?,
        size: u64::try_from(entry.size()?).ok()?,
        modified: SystemTime::try_from(*entry.last_modified()?).ok()?,
    })
}

pub(crate) async fn delete(store: &S3, key: &str) -> Result<(), StoreError> {
    let deleted = persist(store.settings.retries, async || {
        let request = store.client.delete_object().bucket(&store.settings.bucket);
        let answer = request.key(store.settings.key(key)).send().await;
        answer.map_err(|error| failure::of(&error, &store.place, DELETE))
    });
    match deleted.await {
        Ok(answer) => {
            hid(store, u64::from(answer.delete_marker() == Some(true)));
            Ok(())
        }
        Err(StoreError::Missing(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Counts deletions that only hid an object, because the bucket keeps versions.
fn hid(store: &S3, objects: u64) {
    store.hidden.fetch_add(objects, Ordering::Relaxed);
}

/// Removes up to 1000 objects. Returns an error for each that may still be there.
pub(crate) async fn delete_all(store: &S3, keys: &[&str]) -> Vec<(String, StoreError)> {
    let all = |error: StoreError| {
        keys.iter()
            .map(|key| ((*key).to_owned(), error.clone()))
            .collect()
    };
    let object = |key: &&str| {
        ObjectIdentifier::builder()
            .key(store.settings.key(key))
            .build()
    };
    let objects: Result<Vec<_>, _> = keys.iter().map(object).collect();
    let list = objects.and_then(|objects| {
        Delete::builder()
            .set_objects(Some(objects))
            // The answer shall tell which were only hidden.
            .quiet(false)
            .build()
    });
    let list = match list {
        Ok(list) => list,
        Err(error) => return all(StoreError::Other(error.to_string())),
    };
    let deleted = persist(store.settings.retries, async || {
        let request = store.client.delete_objects().bucket(&store.settings.bucket);
        let place = store.place.clone();
        let request = request.delete(list.clone()).customize();
        let answer = request.mutate_request(move |request| {
            // Some stores know no other checksum, and demand one here.
            let bytes = request.body().bytes();
            if let Some(sum) = bytes.and_then(|bytes| place.content_md5(bytes)) {
                request.headers_mut().insert("content-md5", sum);
            }
        });
        let answer = answer.send().await;
        answer.map_err(|error| failure::of(&error, &store.place, DELETE))
    });
    match deleted.await {
        Ok(answer) => {
            let marked = answer.deleted().iter();
            let marked = marked.filter(|one| one.delete_marker() == Some(true));
            hid(store, marked.count() as u64);
            let errors = answer.errors().iter();
            errors.filter_map(|error| refused(store, error)).collect()
        }
        Err(error) => all(error),
    }
}

/// An object that the store did not remove, and why.
fn refused(store: &S3, error: &Refusal) -> Option<(String, StoreError)> {
    let code = error.code().unwrap_or_default();
    if code == "NoSuchKey" {
        return None;
    }
    let key = error.key().unwrap_or_default();
    let key = key.strip_prefix(&store.settings.prefix).unwrap_or(key);
    let text = error.message().unwrap_or("no explanation");
    let why = format!("{text} ({code}, {})", store.place);
    let error = match code {
        "AccessDenied" => StoreError::PermissionDenied(format!("{why}; the key needs {DELETE}")),
        "SlowDown" => StoreError::Throttled(why),
        _ => StoreError::Other(why),
    };
    Some((key.to_owned(), error))
}

pub(crate) async fn unfinished(
    store: &S3,
    prefix: &str,
    age: Duration,
    remove: bool,
) -> Result<Vec<String>, StoreError> {
    let before = SystemTime::now()
        .checked_sub(age)
        .unwrap_or(SystemTime::UNIX_EPOCH);
    let mut found = Vec::new();
    let mut marker = (None, None);
    let mut circle = Circle::default();
    loop {
        let page = persist(store.settings.retries, async || {
            let request = store
                .client
                .list_multipart_uploads()
                .bucket(&store.settings.bucket);
            let request = request
                .prefix(store.settings.key(prefix))
                .encoding_type(EncodingType::Url)
                .set_key_marker(marker.0.clone())
                .set_upload_id_marker(marker.1.clone());
            match request.send().await {
                // Then it cannot be told what a failed upload has left there.
                Err(error) if failure::is_not_implemented(&error) => Ok(None),
                Err(error) => {
                    let action = "s3:ListBucketMultipartUploads";
                    Err(failure::of(&error, &store.place, action))
                }
                Ok(page) => Ok(Some(page)),
            }
        });
        let Some(page) = page.await? else {
            return Ok(found);
        };
        for upload in page.uploads() {
            if let Some(key) = abandoned(store, upload, before) {
                if remove {
                    abort(store, &key, upload).await?;
                }
                found.push(key);
            }
        }
        if page.is_truncated() != Some(true) {
            return Ok(found);
        }
        let key = page.next_key_marker.map(|key| decode_text(&key, true));
        check(store, true, key.as_deref())?;
        marker = (key, page.next_upload_id_marker);
        check_circle(store, Some(&marker), &mut circle)?;
    }
}

fn abandoned(store: &S3, upload: &MultipartUpload, before: SystemTime) -> Option<String> {
    let started = SystemTime::try_from(*upload.initiated()?).ok()?;
    if started > before {
        return None;
    }
    own(store, upload.key()?)
}

async fn abort(store: &S3, key: &str, upload: &MultipartUpload) -> Result<(), StoreError> {
    let request = store
        .client
        .abort_multipart_upload()
        .bucket(&store.settings.bucket);
    let request = request
        .key(store.settings.key(key))
        .set_upload_id(upload.upload_id.clone());
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) => match failure::of(&error, &store.place, "s3:AbortMultipartUpload").error {
            // Already aborted by another process.
            StoreError::Missing(_) => Ok(()),
            error => Err(error),
        },
    }
}
