// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Refusals that a setting of `cloudsync-store-id` causes, or cures. Stores have few codes for them, so the words of the
//! message count, too.

#![forbid(unsafe_code)]

use cloudsync_store::StoreError;

use super::GET;
use crate::settings::{Encryption, Settings};

/// A refusal, as the store has worded it.
pub(super) struct Refusal<'a> {
    pub(super) code: &'a str,
    pub(super) status: u16,
    /// In lower case.
    pub(super) message: &'a str,
    /// The region that the bucket is in, if the store tells.
    pub(super) region: Option<&'a str>,
    /// The permission that the request needs.
    pub(super) action: &'a str,
}

impl Refusal<'_> {
    /// Whether the store refuses to create an object because the request has no checksum, or none that it knows.
    pub(super) fn demands_a_checksum(&self) -> bool {
        let named = self.code.contains("MissingContentMD5");
        let told = self.message.contains("content-md5") || self.message.contains("checksum");
        let damaged = self.code.contains("BadDigest") || self.code.contains("Mismatch");
        let creates = self.action.starts_with("s3:PutObject");
        creates && self.status == 400 && !damaged && (named || told)
    }
}

/// The error that a setting explains; `text` makes it of a hint. `None`: another one.
pub(super) fn of_setting(
    refusal: &Refusal<'_>,
    settings: &Settings,
    text: &dyn Fn(&str) -> String,
) -> Option<StoreError> {
    let Refusal {
        code,
        status,
        message,
        region,
        action,
    } = *refusal;
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if let Some(region) = region.filter(|region| *region != settings.region)
        && (matches!(status, 301 | 307 | 308) || code == "AuthorizationHeaderMalformed")
    {
        let hint = format!(
            "; option cloudsync-store-id: the bucket is in another region, set region={region}"
        );
        return Some(StoreError::Settings(text(&hint)));
    }
    if !(400..500).contains(&status) {
        return None;
    }
    if code == "InvalidStorageClass"
        || (settings.stored.class.is_some() && says(&["storage class"]))
    {
        let hint = "; option cloudsync-store-id: storage-class= names no class of this store";
        return Some(StoreError::Settings(text(hint)));
    }
    if refusal.demands_a_checksum() {
        let hint = "; option cloudsync-store-id: checksum= chooses the checksum that is sent";
        return Some(StoreError::Settings(text(hint)));
    }
    if code == "InvalidTag" {
        let hint = "; option cloudsync-store-id: the store does not take the tags of tags=";
        return Some(StoreError::Settings(text(hint)));
    }
    // The message of a denial names the resource, and so words that users have chosen.
    let denied = code == "AccessDenied";
    if denied && says(&["perform: kms:"]) {
        let hint = "; the account lacks this permission for the key of kms-key=, or of the bucket";
        return Some(StoreError::PermissionDenied(text(hint)));
    }
    if code.starts_with("KMS.") || (!denied && says(&["kms"])) {
        let hint = "; option cloudsync-store-id: check sse= and kms-key=";
        return Some(StoreError::Settings(text(hint)));
    }
    let encrypted = !denied && says(&["encrypt", "hash of the key"]);
    match &settings.stored.encryption {
        Encryption::Customer(_)
            if encrypted || (status == 403 && code == "AccessDenied" && action == GET) =>
        {
            let hint = "; the object was not written with the key of sse-c-key-file=, or the account needs s3:GetObject";
            Some(StoreError::PermissionDenied(text(hint)))
        }
        Encryption::Bucket | Encryption::Store | Encryption::Service(_)
            if encrypted && action == GET =>
        {
            let hint =
                "; it can be read only with the key that it was written with: set sse-c-key-file=";
            Some(StoreError::PermissionDenied(text(hint)))
        }
        _ if encrypted => {
            let hint = "; option cloudsync-store-id: check sse=, kms-key= and sse-c-key-file=";
            Some(StoreError::Settings(text(hint)))
        }
        _ => of_any(refusal, settings, text),
    }
}

/// A request to create an object that the store does not take as it is, without telling why.
fn of_any(
    refusal: &Refusal<'_>,
    settings: &Settings,
    text: &dyn Fn(&str) -> String,
) -> Option<StoreError> {
    let creates = refusal.action.starts_with("s3:PutObject");
    let vague = ["InvalidArgument", "InvalidRequest", "NotImplemented"].contains(&refusal.code);
    let given = settings.stored.given();
    if !creates || !vague || given.is_empty() {
        return None;
    }
    let hint = format!(
        "; option cloudsync-store-id: the store may not take {}",
        given.join(", ")
    );
    Some(StoreError::Settings(text(&hint)))
}
