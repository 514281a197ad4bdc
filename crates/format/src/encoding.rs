// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! How an object's bytes are made of the file's: compressed (`zstd`), encrypted (`age`), or first one, then the other
//! (`zstd+age`). Objects without a word about it are the file's bytes.
//!
//! The object's metadata says it, with sizes and checksums of the file and of the object: [`Encoded`]. So does the version that
//! a cold file's mark holds, with the object's own size: [`Version`]. Thus an object can be read without asking for its
//! metadata first.

use std::fmt;

use crate::checksum::Checksum;

/// The name of [`Encoded`] in an object's metadata.
pub const ENCODING: &str = "cloudsync-encoding";
/// The longest value of it: two numbers, two checksums, and a third without its algorithm.
pub const LONGEST_ENCODING: usize =
    "zstd+age,size=,checksum=,stored=,stored-checksum=,recipients=".len() + 2 * 20 + 2 * 22 + 12;

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

/// What an encoded object was made of, and what it is, so that a damaged or exchanged one is found without decoding it:
/// `zstd+age,size=BYTES,checksum=SUM,stored=BYTES,stored-checksum=SUM`, and, if it is encrypted, `,recipients=TEXT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// How it was made.
    pub encoding: Encoding,
    /// The file's size in bytes.
    pub size: u64,
    /// The checksum of the file's bytes.
    pub checksum: Checksum,
    /// The object's size in bytes.
    pub stored: u64,
    /// The checksum of the object's bytes.
    pub stored_checksum: Checksum,
    /// Tells for whom it is encrypted: a checksum of the recipients.
    pub recipients: Option<String>,
}

impl Encoded {
    /// Parses a value; `None` if it has another form or names an unknown encoding.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let encoding = Encoding::parse(parts.next()?)?;
        let mut part = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=');
        let size = part("size")?.parse().ok()?;
        let checksum = Checksum::parse(part("checksum")?)?;
        let stored = part("stored")?.parse().ok()?;
        let stored_checksum = Checksum::parse(part("stored-checksum")?)?;
        let recipients = match encoding.age {
            true => Some(part("recipients")?.to_owned()),
            false => None,
        };
        parts.next().is_none().then_some(Self {
            encoding,
            size,
            checksum,
            stored,
            stored_checksum,
            recipients,
        })
    }
}

impl fmt::Display for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            encoding,
            size,
            checksum,
            stored,
            stored_checksum,
            recipients,
        } = self;
        write!(
            f,
            "{encoding},size={size},checksum={checksum},stored={stored},stored-checksum={stored_checksum}"
        )?;
        match recipients {
            Some(recipients) => write!(f, ",recipients={recipients}"),
            None => Ok(()),
        }
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
            let recipients = match name.contains("age") {
                true => ",recipients=rosUhgp5mIg=",
                false => "",
            };
            let encoded = format!(
                "{name},size=18446744073709551615,checksum=crc64nvme:rosUhgp5mIg=,stored=18446744073709551615,\
                 stored-checksum=crc64nvme:rosUhgp5mIg={recipients}"
            );
            assert_eq!(Encoded::parse(&encoded).unwrap().to_string(), encoded);
            assert!(encoded.len() <= LONGEST_ENCODING, "{}", encoded.len());
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
        let rest = "size=7,checksum=crc32c:4waSgw==,stored=7,stored-checksum=crc32c:4waSgw==";
        for text in [
            "zstd,size=7",
            &format!("none,{rest}"),
            &format!("zstd,{rest},more=7"),
            &format!("age,{rest}"),
        ] {
            assert_eq!(Encoded::parse(text), None, "{text}");
        }
        assert!(Encoded::parse(&format!("zstd,{rest}")).is_some());
    }

    #[test]
    fn fuzz() {
        const CORPUS: &[&str] = &[
            "zstd,size=7,checksum=crc32c:4waSgw==,stored=7,stored-checksum=crc32c:4waSgw==",
            "age,size=7,checksum=crc32c:4waSgw==,stored=7,stored-checksum=crc32c:4waSgw==,recipients=x",
            "age:7:\"x\"",
        ];
        cloudsync_fuzz::fuzz(CORPUS, |text| {
            if let Some(encoded) = Encoded::parse(text) {
                let again = encoded.to_string();
                assert_eq!(Encoded::parse(&again), Some(encoded), "{text:?}");
            }
            if let Some(version) = Version::parse(text) {
                let again = version.to_string();
                assert_eq!(Version::parse(&again), Some(version), "{text:?}");
            }
        });
    }
}
