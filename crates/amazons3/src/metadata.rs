// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Text in headers: user metadata (`x-amz-meta-`) holds printable ASCII only, so everything else is percent-encoded.

#![forbid(unsafe_code)]

use std::collections::HashMap;

use cloudsync_store::Metadata;
use cloudsync_store::network::{decode_text, encode_text};

/// User metadata (`x-amz-meta-` on the wire) that says `algorithm:base64`, for stores that know no checksums.
pub(crate) const CHECKSUM_METADATA: &str = "cloudsync-checksum";

/// As the store keeps it.
pub(crate) fn encode(metadata: &Metadata) -> HashMap<String, String> {
    metadata
        .iter()
        .map(|(name, value)| (name.clone(), encode_text(value)))
        .collect()
}

/// As it was before [`encode`].
pub(crate) fn decode(metadata: Option<&HashMap<String, String>>) -> Metadata {
    metadata
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), decode_text(value, false)))
        .collect()
}
