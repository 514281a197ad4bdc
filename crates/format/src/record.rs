// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The values of `trusted.glusterfs.cs.record` and `trusted.cloudsync.kept`.
//!
//! A record on a cold file describes what was archived: `gfid=UUID,size=BYTES,mtime=SECONDS.NANOS`, then, if known,
//! `,checksum=ALGORITHM:BASE64`, then, if the file was sparse, `,holes=MAP` ([`crate::holes`]; only beside a checksum), then,
//! if the object is not in the volume's own store, `,store=NAME` ([`crate::stores`]), and last `,key=SUM`, the CRC-64/NVME of
//! the object's key. `key` distinguishes the
//! current record from one of an earlier archive, which translators without support for records leave in place. A
//! record proves that an object holds the file although its version (etag) differs, and it exposes marks that were
//! copied to another file, whose gfid differs.
//!
//! `kept` is on a local file in which bytes were found that no recall wrote. Each line names an object that the file
//! was archived as before: `SECONDS size=BYTES key=KEY`, where the key has `%25` for a percent sign and `%0A` for a
//! line feed; ` store=NAME` stands before ` key=` if the object is not in the volume's own store.

use std::fmt;

use crate::checksum::{Algorithm, Checksum};
use crate::claim::Time;
use crate::holes::Holes;
use crate::object::is_uuid;
use crate::stores;

/// The archived file's attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The file's id, as text.
    pub gfid: String,
    /// Size in bytes.
    pub size: u64,
    /// Last change of the bytes.
    pub mtime: Time,
    /// Checksum of the bytes, if known.
    pub checksum: Option<Checksum>,
    /// What is known of the file's holes.
    pub holes: Holes,
    /// The store that has the object; `None`: the volume's own.
    pub store: Option<String>,
    /// Checksum of the object's key; see [`Self::sum_of`].
    pub key: String,
}

impl Record {
    /// The checksum of an object's key, as a record has it.
    #[must_use]
    pub fn sum_of(key: &[u8]) -> String {
        Algorithm::Crc64Nvme.of(key).base64()
    }

    /// Whether the record belongs to the archive whose object has this key.
    #[must_use]
    pub fn is_of(&self, key: &[u8]) -> bool {
        self.key == Self::sum_of(key)
    }

    /// Parses a value; `None` if it is not a record.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let mut part = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=');
        let gfid = part("gfid").filter(|gfid| is_uuid(gfid))?.to_owned();
        let size = part("size")?.parse().ok()?;
        let mtime = Time::parse(part("mtime")?)?;
        let mut next = parts.next()?;
        let checksum = match next.strip_prefix("checksum=") {
            Some(text) => {
                next = parts.next()?;
                Some(Checksum::parse(text)?)
            }
            None => None,
        };
        let mut holes = Holes::default();
        if let Some(text) = next.strip_prefix("holes=") {
            next = parts.next()?;
            // A map of a later version is no reason to forget the rest.
            holes = Holes::parse(text).unwrap_or_default();
        }
        let mut store = None;
        if let Some(name) = next.strip_prefix("store=") {
            next = parts.next()?;
            store = Some(stores::is_name(name).then(|| name.to_owned())?);
        }
        let key = next.strip_prefix("key=")?.to_owned();
        parts.next().is_none().then_some(Self {
            gfid,
            size,
            mtime,
            checksum,
            holes,
            store,
            key,
        })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            gfid, size, mtime, ..
        } = self;
        write!(f, "gfid={gfid},size={size},mtime={mtime}")?;
        if let Some(checksum) = &self.checksum {
            write!(f, ",checksum={checksum}")?;
        }
        if !self.holes.is_empty() {
            write!(f, ",holes={}", self.holes)?;
        }
        if let Some(store) = &self.store {
            write!(f, ",store={store}")?;
        }
        write!(f, ",key={}", self.key)
    }
}

/// An object that a local file was archived as before bytes that no recall wrote were found in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// When the bytes were found, in seconds since the epoch.
    pub seconds: u64,
    /// Size of the object in bytes.
    pub size: u64,
    /// The store that has it; `None`: the volume's own.
    pub store: Option<String>,
    /// The object's key.
    pub key: String,
}

impl Kept {
    /// Parses a value. Lines that are not understood are skipped.
    pub fn parse(text: &str) -> impl Iterator<Item = Self> {
        text.lines().filter_map(|line| {
            let (seconds, rest) = line.split_once(" size=")?;
            let (front, key) = rest.split_once(" key=")?;
            let (size, store) = match front.split_once(" store=") {
                Some((size, store)) => (size, Some(store.to_owned())),
                None => (front, None),
            };
            Some(Self {
                seconds: seconds.parse().ok()?,
                size: size.parse().ok()?,
                store,
                key: key.replace("%0A", "\n").replace("%25", "%"),
            })
        })
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.replace('%', "%25").replace('\n', "%0A");
        write!(f, "{} size={}", self.seconds, self.size)?;
        if let Some(store) = &self.store {
            write!(f, " store={store}")?;
        }
        write!(f, " key={key}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GFID: &str = "16b9ff79-211f-4fa1-b140-c7fadb218766";

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for text in [
            format!("gfid={GFID},size=7,mtime=12.000000003,key=rosUhgp5mIg="),
            format!(
                "gfid={GFID},size=7,mtime=-12.000000003,checksum=crc64nvme:rosUhgp5mIg=,key=rosUhgp5mIg="
            ),
            format!(
                "gfid={GFID},size=7,mtime=1.000000003,checksum=crc64nvme:rosUhgp5mIg=,holes=1:0+1,key=rosUhgp5mIg="
            ),
            format!("gfid={GFID},size=7,mtime=1.000000003,holes=1:0+1,store=cold,key=rosUhgp5mIg="),
            format!("gfid={GFID},size=7,mtime=1.000000003,store=cold,key=rosUhgp5mIg="),
        ] {
            let record = Record::parse(&text).unwrap();
            assert_eq!(record.to_string(), text);
            assert!(record.is_of(b"123456789") && !record.is_of(b"12345678"));
        }
    }

    #[test]
    fn a_map_that_is_not_understood_is_left_out() {
        let record = format!("gfid={GFID},size=7,mtime=1.000000003,holes=9:x,key=a");
        assert!(Record::parse(&record).unwrap().holes.is_empty());
    }

    #[test]
    fn what_is_no_record_is_none() {
        for text in [
            "",
            "gfid=1,size=7,mtime=12.000000003,key=a",
            &format!("gfid={GFID},size=-7,mtime=12.000000003,key=a"),
            &format!("gfid={GFID},size=7,mtime=12,key=a"),
            &format!("gfid={GFID},size=7,key=a"),
            &format!("gfid={GFID},size=7,mtime=12.000000003,store=default,key=a"),
            &format!("gfid={GFID},size=7,mtime=12.000000003"),
            &format!("gfid={GFID},size=7,mtime=12.000000003,checksum=7,key=a"),
            &format!("gfid={GFID},size=7,mtime=12.000000003,checksum=crc32:y/Q5Jg==,key=a,more"),
        ] {
            assert_eq!(Record::parse(text), None, "{text}");
        }
    }

    #[test]
    fn kept_objects_are_read_line_by_line() {
        let one = Kept {
            seconds: 3,
            size: 9,
            store: None,
            key: "a key=b%0A%25\n".to_owned(),
        };
        let two = Kept {
            store: Some("cold".to_owned()),
            ..one.clone()
        };
        let text = format!("{one}\nnonsense\n5 size=1 key=c\n{two}");
        let found: Vec<_> = Kept::parse(&text).collect();
        assert_eq!(found[0], one);
        assert_eq!((found.len(), found[1].key.as_str()), (3, "c"));
        assert_eq!(found[2], two);
    }

    #[test]
    fn fuzz() {
        const CORPUS: &[&str] = &[
            "gfid=16b9ff79-211f-4fa1-b140-c7fadb218766,size=7,mtime=12.000000003,checksum=crc32:y/Q5Jg==,key=a",
            "gfid=16b9ff79-211f-4fa1-b140-c7fadb218766,size=7,mtime=12.000000003,holes=1:0+1:4+5,store=cold,key=a",
        ];
        cloudsync_fuzz::fuzz(CORPUS, |text| {
            if let Some(record) = Record::parse(text) {
                assert_eq!(Record::parse(&record.to_string()), Some(record), "{text:?}");
            }
        });
    }
}
