// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Sets the tags of an object that was uploaded in parts.

#![forbid(unsafe_code)]

use aws_sdk_s3::types::{Tag, Tagging};
use cloudsync_store::StoreError;
use cloudsync_store::network::persist;

use super::request::Put;
use crate::failure;

/// Gives an object that was uploaded in parts its tags. Amazon has taken them with the upload's first request; Ceph 16
/// ignores them there.
pub(super) async fn tag(put: &Put<'_>) -> Result<(), StoreError> {
    let settings = &put.store.settings;
    if settings.stored.tags.is_empty() || settings.is_aws() {
        return Ok(());
    }
    let tag = |(name, value): &(String, String)| Tag::builder().key(name).value(value).build();
    let tags: Result<Vec<_>, _> = settings.stored.tags.iter().map(tag).collect();
    let tagging = tags.and_then(|tags| Tagging::builder().set_tag_set(Some(tags)).build());
    let tagging = tagging.map_err(|error| StoreError::Other(error.to_string()))?;
    persist(settings.retries, async || {
        let request = put.store.client.put_object_tagging();
        let request = request
            .bucket(&settings.bucket)
            .key(settings.key(put.key))
            .tagging(tagging.clone());
        let tagged = request.send().await;
        tagged
            .map(drop)
            .map_err(|error| failure::of(&error, &put.store.place, settings.stored.actions()))
    })
    .await
}
