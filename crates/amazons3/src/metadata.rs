// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Encodes user metadata (`x-amz-meta-`), which can only hold printable ASCII: everything else is percent-encoded.

#![forbid(unsafe_code)]

use std::collections::HashMap;

use cloudsync_store::Metadata;
use cloudsync_store::network::{decode_text, encode_text};

/// The name of our metadata entry with the checksum, as `algorithm:base64`, for stores without checksums.
pub(crate) const CHECKSUM_METADATA: &str = "cloudsync-checksum";
/// What the names of headers with metadata begin with.
pub(crate) const PREFIX: &str = "x-amz-meta-";
/// The header with it.
pub(crate) const CHECKSUM_HEADER: &str = "x-amz-meta-cloudsync-checksum";

/// Encodes metadata for the store.
pub(crate) fn encode(metadata: &Metadata) -> HashMap<String, String> {
    metadata
        .iter()
        .map(|(name, value)| (name.clone(), encode_text(value)))
        .collect()
}

/// Reverses [`encode`].
pub(crate) fn decode(metadata: Option<&HashMap<String, String>>) -> Metadata {
    metadata
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), decode_text(value, false)))
        .collect()
}
