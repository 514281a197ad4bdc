// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Deletes objects with all their versions, in buckets that keep versions, and says which are locked.
//!
//! In such a bucket, an ordinary deletion only hides an object behind a marker. A key is written once, so all of its
//! versions are what an archive has left.

#![forbid(unsafe_code)]

use aws_sdk_s3::types::EncodingType;
use cloudsync_store::StoreError;
use cloudsync_store::network::{Circle, decode_text, persist};

use crate::failure;
use crate::s3::S3;

const LIST: &str = "s3:ListBucketVersions";
const DELETE: &str = "s3:DeleteObjectVersion";

/// Deletes every version of the object, and the markers that hide it.
pub(crate) async fn delete(store: &S3, key: &str) -> Result<(), StoreError> {
    let key = store.settings.key(key);
    for version in find(store, &key).await? {
        remove(store, &key, &version).await?;
    }
    Ok(())
}

/// The ids of the object's versions, and then those of its markers: while a version is locked, a marker hides it.
async fn find(store: &S3, key: &str) -> Result<Vec<String>, StoreError> {
    let (mut versions, mut markers) = (Vec::new(), Vec::new());
    let mut next = (None, None);
    let mut circle = Circle::default();
    let is_key = |name: Option<&str>| name.is_some_and(|name| decode_text(name, true) == key);
    loop {
        let page = persist(store.settings.retries, async || {
            let request = store.client.list_object_versions();
            let request = request
                .bucket(&store.settings.bucket)
                .prefix(key)
                .encoding_type(EncodingType::Url)
                .set_key_marker(next.0.clone())
                .set_version_id_marker(next.1.clone());
            let page = request.send().await;
            page.map_err(|error| failure::of(&error, &store.place, LIST))
        })
        .await?;
        let found = page.versions().iter().filter(|one| is_key(one.key()));
        versions.extend(found.filter_map(|one| one.version_id().map(str::to_owned)));
        let found = page.delete_markers().iter().filter(|one| is_key(one.key()));
        markers.extend(found.filter_map(|one| one.version_id().map(str::to_owned)));
        if page.is_truncated() != Some(true) {
            versions.extend(markers);
            return Ok(versions);
        }
        next = (
            page.next_key_marker.map(|key| decode_text(&key, true)),
            page.next_version_id_marker,
        );
        if next.0.is_none() || circle.closes(&next) {
            let why = format!(
                "{}: the server's list of versions does not end",
                store.place
            );
            return Err(StoreError::Other(why));
        }
    }
}

async fn remove(store: &S3, key: &str, version: &str) -> Result<(), StoreError> {
    let deleted = persist(store.settings.retries, async || {
        let request = store.client.delete_object().bucket(&store.settings.bucket);
        let answer = request.key(key).version_id(version).send().await;
        answer.map_err(|error| failure::of(&error, &store.place, DELETE))
    });
    match deleted.await {
        Ok(_) | Err(StoreError::Missing(_)) => Ok(()),
        Err(error @ StoreError::PermissionDenied(_)) => {
            Err(lock(store, key, version).await.unwrap_or(error))
        }
        Err(error) => Err(error),
    }
}

/// The lock that keeps a version from being deleted, as an error; `None` if there is none, or it is not shown.
async fn lock(store: &S3, key: &str, version: &str) -> Option<StoreError> {
    let request = store.client.head_object().bucket(&store.settings.bucket);
    let answer = request.key(key).version_id(version).send().await.ok()?;
    let held = answer
        .object_lock_legal_hold_status()
        .map(|status| status.as_str());
    let until = answer
        .object_lock_retain_until_date()
        .map(ToString::to_string);
    let mode = answer.object_lock_mode().map(|mode| mode.as_str());
    let why = match (held, until) {
        (Some("ON"), _) => "by a legal hold".to_owned(),
        (_, Some(until)) => format!("until {until} ({})", mode.unwrap_or("mode not given")),
        _ => return None,
    };
    // Not a lack of permission: the next objects may be deleted all the same.
    Some(StoreError::Other(format!(
        "the object is locked {why} ({})",
        store.place
    )))
}
