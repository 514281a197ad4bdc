// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! How an object's bytes are made of the file's: compressed (`zstd`), encrypted (`age`), or first one, then the other
//! (`zstd+age`). Objects without a word about it are the file's bytes.
//!
//! The object's metadata says it, with the file's size and checksum: [`Plain`]. So does the version that a cold file's mark
//! holds, with the object's own size: [`Version`]. Thus an object can be read without asking for its metadata first.

use std::fmt;

use crate::checksum::Checksum;

/// The name of [`Plain`] in an object's metadata.
pub const ENCODING: &str = "cloudsync-encoding";
/// The longest value of it.
pub const LONGEST_ENCODING: usize = "zstd+age,size=18446744073709551615,checksum=".len() + 22;

/// The steps from a file's bytes to an object's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encoding {
    /// Compressed: frames of Zstandard, and a table of them, in its seekable format.
    pub zstd: bool,
    /// Then encrypted: a file of age, version 1.
    pub age: bool,
}

impl Encoding {
    /// Parses its name; `None` if there is no such encoding.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (zstd, age) = match name {
            "zstd" => (true, false),
            "age" => (false, true),
            "zstd+age" => (true, true),
            _ => return None,
        };
        Some(Self { zstd, age })
    }

    /// Whether there is no step: the object is the file's bytes.
    #[must_use]
    pub const fn is_none(self) -> bool {
        !self.zstd && !self.age
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.zstd, self.age) {
            (true, true) => "zstd+age",
            (true, false) => "zstd",
            (false, true) => "age",
            (false, false) => "none",
        })
    }
}

/// What an encoded object was made of: `zstd,size=BYTES,checksum=ALGORITHM:BASE64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// How it was made.
    pub encoding: Encoding,
    /// The file's size in bytes.
    pub size: u64,
    /// The checksum of the file's bytes.
    pub checksum: Checksum,
}

impl Plain {
    /// Parses a value; `None` if it has another form or names an unknown encoding.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ',');
        let encoding = Encoding::parse(parts.next()?)?;
        let size = parts.next()?.strip_prefix("size=")?.parse().ok()?;
        let checksum = Checksum::parse(parts.next()?.strip_prefix("checksum=")?)?;
        Some(Self {
            encoding,
            size,
            checksum,
        })
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            encoding,
            size,
            checksum,
        } = self;
        write!(f, "{encoding},size={size},checksum={checksum}")
    }
}

/// The version of an encoded object: `zstd:BYTES:ETAG`. No store's own etag looks like that: they are quoted, or digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version<'a> {
    /// How it was made.
    pub encoding: Encoding,
    /// The object's size in bytes.
    pub stored: u64,
    /// The store's etag; empty if it has none.
    pub etag: &'a str,
}

impl<'a> Version<'a> {
    /// Parses a version; `None` if it is that of an object that is not encoded.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        Some(Self {
            encoding: Encoding::parse(parts.next()?)?,
            stored: parts.next()?.parse().ok()?,
            etag: parts.next()?,
        })
    }
}

impl fmt::Display for Version<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.encoding, self.stored, self.etag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["zstd", "age", "zstd+age"];

    #[test]
    fn values_are_read_as_they_were_written() {
        for name in NAMES {
            let plain = format!("{name},size=18446744073709551615,checksum=crc64nvme:rosUhgp5mIg=");
            assert_eq!(Plain::parse(&plain).unwrap().to_string(), plain);
            assert!(plain.len() <= LONGEST_ENCODING, "{}", plain.len());
            for etag in ["\"a:b\"", ""] {
                let version = format!("{name}:7:{etag}");
                let read = Version::parse(&version).unwrap();
                assert_eq!((read.stored, read.etag), (7, etag));
                assert_eq!(read.to_string(), version);
            }
        }
    }

    #[test]
    fn what_is_neither_is_none() {
        for text in [
            "",
            "\"d41d8cd98f00b204e9800998ecf8427e-3\"",
            "zstd:\"7\"",
            "gzip:7:x",
            "none:7:x",
            "age:-7:x",
        ] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        for text in [
            "zstd,size=7",
            "zstd,size=7,checksum=md5:x",
            "none,size=7,checksum=crc32c:4waSgw==",
        ] {
            assert_eq!(Plain::parse(text), None, "{text}");
        }
    }

    #[test]
    fn fuzz() {
        const CORPUS: &[&str] = &["zstd+age,size=7,checksum=crc32c:4waSgw==", "age:7:\"x\""];
        cloudsync_fuzz::fuzz(CORPUS, |text| {
            if let Some(plain) = Plain::parse(text) {
                assert_eq!(Plain::parse(&plain.to_string()), Some(plain), "{text:?}");
            }
            if let Some(version) = Version::parse(text) {
                let again = version.to_string();
                assert_eq!(Version::parse(&again), Some(version), "{text:?}");
            }
        });
    }
}
