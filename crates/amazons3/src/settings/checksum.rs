// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Parses `checksum=`: by which checksum the store verifies what it is sent.

#![forbid(unsafe_code)]

use cloudsync_store::checksum::Algorithm;
use cloudsync_store::settings::{Error, Settings as List};

/// The checksum that uploads carry. The signature has the SHA-256 of the bytes in any case, but few stores besides
/// Amazon say whether they verify it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sent {
    /// At Amazon the object's own checksum, elsewhere none, until the store demands one: then Content-MD5, which every
    /// store knows.
    #[default]
    Auto,
    /// This one, in a header `x-amz-checksum-...`.
    Crc(Algorithm),
    /// Content-MD5.
    Md5,
    /// None.
    None,
}

impl Sent {
    /// Takes the setting out of the list.
    ///
    /// # Errors
    /// [`Error::Value`].
    pub(super) fn take(list: &mut List) -> Result<Self, Error> {
        const CHOICES: &[&str] = &[
            "auto",
            "crc64nvme",
            "crc32c",
            "crc32",
            "md5",
            "none",
            // The words of Amazon's tools.
            "when_required",
            "when_supported",
        ];
        let expected = "auto, crc64nvme, crc32c, crc32, md5 or none";
        Ok(match list.choice("checksum", CHOICES, expected)? {
            Some("crc64nvme" | "when_supported") => Self::Crc(Algorithm::Crc64Nvme),
            Some("crc32c") => Self::Crc(Algorithm::Crc32c),
            Some("crc32") => Self::Crc(Algorithm::Crc32),
            Some("md5") => Self::Md5,
            Some("none") => Self::None,
            _ => Self::Auto,
        })
    }
}
