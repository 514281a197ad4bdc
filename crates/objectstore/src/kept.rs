// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Converts an object's metadata to what the clouds accept: at Azure, names are C# identifiers, and values are
//! non-empty printable ASCII.

#![forbid(unsafe_code)]

use cloudsync_store::network::{decode_text, encode_text};
use cloudsync_store::{Checksum, Metadata, Upload};
use object_store::{Attribute, Attributes};

/// Metadata name of the whole object's checksum, `algorithm:base64`.
const CHECKSUM: &str = "cloudsync-checksum";
/// Represents an empty value. No encoded text equals it.
const EMPTY: &str = "%";

/// Metadata of an upload in the store's form.
pub(crate) fn attributes(upload: &Upload<'_>) -> Attributes {
    let kept = upload
        .metadata
        .iter()
        .map(|(name, value)| (name.as_str(), encode_text(value)));
    let checksum = (CHECKSUM, upload.checksum.to_string());
    kept.chain([checksum])
        .map(|(name, value)| {
            let value = if value.is_empty() {
                EMPTY.to_owned()
            } else {
                value
            };
            let name = name.replace('-', "_").into();
            (Attribute::Metadata(name), value)
        })
        .collect()
}

fn texts(attributes: &Attributes) -> impl Iterator<Item = (String, &str)> {
    attributes.iter().filter_map(|(name, value)| match name {
        // Header names are case-insensitive.
        Attribute::Metadata(name) => Some((name.to_ascii_lowercase().replace('_', "-"), &**value)),
        _ => None,
    })
}

/// The object's checksum, if its metadata has one.
pub(crate) fn checksum(attributes: &Attributes) -> Option<Checksum> {
    let (_, text) = texts(attributes).find(|(name, _)| name == CHECKSUM)?;
    Checksum::parse(text)
}

/// Reverses [`attributes`].
pub(crate) fn kept(attributes: &Attributes) -> Metadata {
    texts(attributes)
        .filter(|(name, _)| name != CHECKSUM)
        .map(|(name, value)| {
            let value = if value == EMPTY { "" } else { value };
            (name, decode_text(value, false))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_what_azure_takes() {
        let metadata = [("path", "/dir/\u{e4}"), ("store-id", ""), ("mtime", "1.5")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        struct Nothing;
        impl cloudsync_store::Source for Nothing {
            fn read_exact_at(&self, _: &mut [u8], _: u64) -> std::io::Result<()> {
                Ok(())
            }
        }
        let upload = Upload {
            size: 0,
            checksum: Checksum::parse("crc32:AAAAAA==").unwrap(),
            metadata: &metadata,
            source: &Nothing,
            rate: None,
            resumable: true,
        };
        let found: Attributes = attributes(&upload);
        for (name, value) in &found {
            let Attribute::Metadata(name) = name else {
                panic!("{name:?}");
            };
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(!value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic()));
        }
        assert_eq!(kept(&found), metadata);
        assert_eq!(checksum(&found), Some(upload.checksum));
    }
}
