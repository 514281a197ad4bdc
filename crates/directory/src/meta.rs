// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The description in an object's folder: lines `name=value` with percent-encoded values, readable by people.

#![forbid(unsafe_code)]

use cloudsync_store::{Checksum, Metadata};

use crate::place::{decode, encode};

/// The first line; other formats get other numbers.
const FORMAT: &str = "cloudsync-object=1";
/// The last line, which shows that the file is complete.
const END: &str = "end=";
/// Prefix of the archiver's metadata.
const KEPT: &str = "meta.";

/// The content of a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(crate) checksum: Checksum,
    pub(crate) kept: Metadata,
}

impl Meta {
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!(
            "{FORMAT}\nkey={}\nsize={}\netag={}\nchecksum={}\n",
            encode(&self.key),
            self.size,
            encode(&self.etag),
            self.checksum,
        );
        for (name, value) in &self.kept {
            text += &format!(
                "{KEPT}{}={}\n",
                encode(name).replace('=', "%3D"),
                encode(value)
            );
        }
        text + END + "\n"
    }

    /// Parses a description; `None` if it is not in the form that [`Meta::to_text`] writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let mut field = |name: &str| {
            let value = lines.next()?.strip_prefix(name)?.strip_prefix('=')?;
            decode(value)
        };
        if field("cloudsync-object")? != "1" {
            return None;
        }
        let mut meta = Self {
            key: field("key")?,
            size: field("size")?.parse().ok()?,
            etag: field("etag")?,
            checksum: Checksum::parse(&field("checksum")?)?,
            kept: Metadata::new(),
        };
        for line in lines.by_ref() {
            if line == END {
                return lines.next().is_none().then_some(meta);
            }
            let (name, value) = line.strip_prefix(KEPT)?.split_once('=')?;
            meta.kept.insert(decode(name)?, decode(value)?);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_less() {
        let meta = Meta {
            key: "a/\u{e4}\n%b".to_owned(),
            size: u64::MAX,
            etag: "0123abcd".to_owned(),
            checksum: Checksum::parse("crc64nvme:rosUhgp5mIg=").unwrap(),
            kept: [("path", "/dir/with space\nand=more"), ("a=b", "")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        let text = meta.to_text();
        assert!(
            text.lines()
                .all(|line| line.bytes().all(|byte| byte.is_ascii_graphic())),
            "{text}"
        );
        assert_eq!(Meta::parse(&text), Some(meta));
        for end in 0..text.len() {
            assert_eq!(Meta::parse(&text[..end]), None, "{}", &text[..end]);
        }
        assert_eq!(Meta::parse(&text.replace("object=1", "object=2")), None);
        assert_eq!(Meta::parse(&(text + "more=1\n")), None);
    }
}
