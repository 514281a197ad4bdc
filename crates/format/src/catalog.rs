// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A catalog: what the objects of a volume do not say. Folders, symbolic links, other names of files, extended attributes
//! and ACLs, as an object of its own beside those of the files.
//!
//! The object is text, compressed with gzip: one JSON object on each line, of which the first says what it is, and the last
//! that it is complete. Paths are from the root of the volume; the root's own is empty. A path or link that is not UTF-8 is
//! `{"base64":...}` instead of a text; the values of extended attributes always are base64.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

/// The version of the format.
pub const VERSION: u32 = 1;

/// The folder of a volume's catalogs, after the volume's id. No file's objects are there: it is not a gfid.
pub const FOLDER: &str = "catalog";

/// How the keys of catalogs end.
pub const SUFFIX: &str = ".jsonl.gz";

/// A line of a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Line {
    /// The first line.
    Catalog {
        /// [`VERSION`].
        version: u32,
        /// The volume's id.
        volume: String,
        /// When the catalog was begun.
        time: String,
    },
    /// A folder.
    Folder {
        /// Its path.
        path: Text,
        /// Permission bits.
        mode: u32,
        /// Owner's user id.
        uid: u32,
        /// Group id.
        gid: u32,
        /// Its extended attributes.
        #[serde(default, skip_serializing_if = "Attributes::is_empty")]
        attributes: Attributes,
    },
    /// A symbolic link.
    Link {
        /// Its path.
        path: Text,
        /// What it refers to.
        to: Text,
        /// Owner's user id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
    /// A regular file that has extended attributes, or several names.
    File {
        /// Its path; a file of several names has a line for each.
        path: Text,
        /// Its gfid, if it has several names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gfid: Option<String>,
        /// Its extended attributes.
        #[serde(default, skip_serializing_if = "Attributes::is_empty")]
        attributes: Attributes,
    },
    /// The last line.
    End {
        /// How many lines are between the first and this one.
        lines: u64,
    },
}

/// Extended attributes by name.
pub type Attributes = BTreeMap<String, Base64>;

/// Bytes that usually are UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// They are.
    Plain(String),
    /// They are not.
    Other {
        /// The bytes.
        base64: Base64,
    },
}

/// Any bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Base64(pub Vec<u8>);

impl From<Base64> for String {
    fn from(bytes: Base64) -> Self {
        BASE64_STANDARD.encode(bytes.0)
    }
}

impl TryFrom<String> for Base64 {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        BASE64_STANDARD.decode(text).map(Self)
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Plain(text.to_owned()),
            Err(_) => Self::Other {
                base64: Base64(bytes.to_vec()),
            },
        }
    }
}

impl Text {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(text) => text.as_bytes(),
            Self::Other { base64 } => &base64.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parsed_as_they_were_written() {
        let text = |bytes: &[u8]| Text::from(bytes);
        let attributes = Attributes::from([("user.x".to_owned(), Base64(vec![0, 255]))]);
        let lines = [
            Line::Catalog {
                version: VERSION,
                volume: "8a45823a-57e8-4fe2-a80c-c265638ce08f".to_owned(),
                time: "2026-11-29T23:27:21Z".to_owned(),
            },
            Line::Folder {
                path: text(b""),
                mode: 0o755,
                uid: 1,
                gid: 2,
                attributes: attributes.clone(),
            },
            Line::Link {
                path: text("\u{fc}/\n\"".as_bytes()),
                to: text(&[b'.', 0xff]),
                uid: 0,
                gid: 0,
            },
            Line::File {
                path: text(b"a"),
                gfid: None,
                attributes,
            },
            Line::End { lines: 3 },
        ];
        for line in lines {
            let json = serde_json::to_string(&line).unwrap();
            assert!(!json.contains('\n'), "{json}");
            assert_eq!(serde_json::from_str::<Line>(&json).unwrap(), line, "{json}");
        }
        let file = r#"{"kind":"file","path":{"base64":"/w=="},"attributes":{"user.x":"AP8="}}"#;
        let Line::File { path, .. } = serde_json::from_str(file).unwrap() else {
            panic!("not a file");
        };
        assert_eq!(path.bytes(), [0xff]);
    }
}
