// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The key of an archived object, and its metadata.
//!
//! The key is `VOLUME-ID/GFID/ARCHIVE-ID`. A file keeps its gfid when it is renamed, and every archive of it has a new
//! id, so no object is ever overwritten or mistaken for another file's. The metadata describes the file, so that a lost
//! volume can be rebuilt from the store alone.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::claim::Time;
use crate::encoding::{ENCODING, LONGEST_ENCODING};
use crate::holes::{Holes, LONGEST};

/// The parts of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// The volume's id.
    pub volume: &'a str,
    /// The file's id.
    pub gfid: &'a str,
    /// The archive's id; sorts by time.
    pub archive: &'a str,
}

impl<'a> Key<'a> {
    /// Parses a key; `None` if it has another form.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split('/');
        let (volume, gfid, archive) = (parts.next()?, parts.next()?, parts.next()?);
        let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
        let good = parts.next().is_none()
            && is_uuid(volume)
            && is_uuid(gfid)
            && !archive.is_empty()
            && archive.bytes().all(plain);
        good.then_some(Self {
            volume,
            gfid,
            archive,
        })
    }
}

impl std::fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.volume, self.gfid, self.archive)
    }
}

/// Whether a text is a UUID in GlusterFS's notation (lower case).
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// The text form of a UUID.
#[must_use]
pub fn uuid(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

const PATH: &str = "cloudsync-path";
const SIZE: &str = "cloudsync-size";
const MTIME: &str = "cloudsync-mtime";
const MODE: &str = "cloudsync-mode";
const OWNER: &str = "cloudsync-owner";
const GFID: &str = "cloudsync-gfid";
const VOLUME: &str = "cloudsync-volume";
const HOLES: &str = "cloudsync-holes";
/// The name of the whole object's checksum in the metadata; its value is `algorithm:base64`.
pub const CHECKSUM: &str = "cloudsync-checksum";
/// Longest encoded path that is stored: S3 limits all metadata of an object to 2 KiB.
const LONGEST_PATH: usize = 1400;
/// The longest checksum in the metadata.
const LONGEST_CHECKSUM: usize = 22;
/// The limit on names and values. The prefix of each name counts, too, to be sure.
const METADATA: usize = 2048;
const PREFIX: usize = "x-amz-meta-".len();

/// A file's attributes when it was archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notes {
    /// Path from the volume's root, without a leading slash; `None` if it was too long.
    pub path: Option<Vec<u8>>,
    /// Size in bytes.
    pub size: u64,
    /// Last change of the bytes.
    pub mtime: Time,
    /// Permission bits.
    pub mode: u32,
    /// Owner's user id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// The file's gfid.
    pub gfid: String,
    /// The volume's id.
    pub volume: String,
    /// What is known of the file's holes.
    pub holes: Holes,
}

impl Notes {
    /// The attributes as an object's metadata.
    #[must_use]
    pub fn to_metadata(&self) -> BTreeMap<String, String> {
        let mut map = BTreeMap::from(
            [
                (SIZE, self.size.to_string()),
                (MTIME, self.mtime.to_string()),
                (MODE, format!("{:04o}", self.mode)),
                (OWNER, format!("{}:{}", self.uid, self.gid)),
                (GFID, self.gfid.clone()),
                (VOLUME, self.volume.clone()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        let path = self.path.as_deref().map(encode_path);
        if let Some(path) = path.filter(|path| path.len() <= LONGEST_PATH) {
            map.insert(PATH.to_owned(), path);
        }
        let taken = |(name, value): (&String, &String)| PREFIX + name.len() + value.len();
        let taken = map.iter().map(taken).sum::<usize>()
            + PREFIX
            + CHECKSUM.len()
            + LONGEST_CHECKSUM
            + PREFIX
            + ENCODING.len()
            + LONGEST_ENCODING
            + PREFIX
            + HOLES.len();
        let holes = self.holes.in_file(self.size);
        let holes = Holes::largest(
            &holes,
            self.size,
            LONGEST.min(METADATA.saturating_sub(taken)),
        );
        if !holes.is_empty() {
            map.insert(HOLES.to_owned(), holes.to_string());
        }
        map
    }

    /// Parses an object's metadata; `None` if it is not cloudsync's.
    #[must_use]
    pub fn of_metadata(map: &BTreeMap<String, String>) -> Option<Self> {
        let (uid, gid) = map.get(OWNER)?.split_once(':')?;
        Some(Self {
            path: map.get(PATH).map(|path| decode_path(path)),
            size: map.get(SIZE)?.parse().ok()?,
            mtime: Time::parse(map.get(MTIME)?)?,
            mode: u32::from_str_radix(map.get(MODE)?, 8).ok()? & 0o7777,
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            gfid: map.get(GFID).filter(|gfid| is_uuid(gfid))?.clone(),
            volume: map.get(VOLUME).filter(|volume| is_uuid(volume))?.clone(),
            holes: map
                .get(HOLES)
                .and_then(|text| Holes::parse(text))
                .unwrap_or_default(),
        })
    }
}

/// Encodes a path as ASCII text, other bytes as `=hh`, because names are bytes and metadata is text. Not as `%hh`,
/// which a store or tool might decode.
fn encode_path(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_graphic() && *byte != b'=' {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "={byte:02x}");
        }
    }
    text
}

fn decode_path(text: &str) -> Vec<u8> {
    let mut path = Vec::with_capacity(text.len());
    let mut left = text.as_bytes();
    while let [first, rest @ ..] = left {
        let digits = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let code = digits
            .filter(|_| *first == b'=')
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        path.push(code.unwrap_or(*first));
        left = if code.is_some() { &rest[2..] } else { rest };
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOLUME_ID: &str = "0f0e0d0c-0b0a-0908-0706-050403020100";
    const FILE_ID: &str = "12345678-9abc-def0-1234-56789abcdef0";

    #[test]
    fn keys_survive_and_others_are_refused() {
        let key = Key {
            volume: VOLUME_ID,
            gfid: FILE_ID,
            archive: "20261122T101112345-0a1b2c3d",
        };
        assert_eq!(Key::parse(&key.to_string()), Some(key));
        for other in [
            "dir/file",
            "a/b/c",
            &format!("{VOLUME_ID}/{FILE_ID}"),
            &format!("{VOLUME_ID}/{FILE_ID}/"),
            &format!("{VOLUME_ID}/{FILE_ID}/a/b"),
            &format!("{VOLUME_ID}/{}/a", FILE_ID.to_uppercase()),
            &format!("/{VOLUME_ID}/{FILE_ID}/a"),
        ] {
            assert_eq!(Key::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_uuid_is_written_as_gluster_writes_it() {
        let bytes = std::array::from_fn(|at| u8::try_from(15 - at).unwrap());
        assert_eq!(uuid(bytes), VOLUME_ID);
        assert!(is_uuid(VOLUME_ID));
    }

    #[test]
    fn notes_survive_with_any_name() {
        for path in [
            b"dir/file".as_slice(),
            b"a b/100%/1+1=2",
            b"=41/new\nline",
            b"\xff\xfe/\xc3\xbc",
        ] {
            let notes = Notes {
                path: Some(path.to_vec()),
                size: 7,
                mtime: Time {
                    seconds: -5,
                    nanos: 3,
                },
                mode: 0o4755,
                uid: 1000,
                gid: 0,
                gfid: FILE_ID.to_owned(),
                volume: VOLUME_ID.to_owned(),
                holes: Holes::default(),
            };
            let map = notes.to_metadata();
            assert!(map.values().all(|value| value.is_ascii()));
            assert_eq!(Notes::of_metadata(&map), Some(notes));
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_what_is_not_ours_is_none() {
        let notes = Notes {
            path: Some(vec![b'x'; LONGEST_PATH + 1]),
            size: 0,
            mtime: Time {
                seconds: 0,
                nanos: 0,
            },
            mode: 0,
            uid: 0,
            gid: 0,
            gfid: FILE_ID.to_owned(),
            volume: VOLUME_ID.to_owned(),
            holes: Holes::default(),
        };
        let map = notes.to_metadata();
        assert_eq!(Notes::of_metadata(&map).unwrap().path, None);
        assert_eq!(Notes::of_metadata(&BTreeMap::new()), None);
    }

    #[test]
    fn the_holes_take_the_room_that_is_left() {
        let block = crate::holes::BLOCK;
        let holes: Vec<_> = (0..2000)
            .map(|at| 3 * at * block..(3 * at + 1 + at % 2) * block)
            .collect();
        let size = 1 << 40;
        for length in [3, 1000, LONGEST_PATH] {
            let notes = Notes {
                path: Some(vec![b'x'; length]),
                size,
                mtime: Time {
                    seconds: 1_700_000_000,
                    nanos: 3,
                },
                mode: 0o644,
                uid: u32::MAX,
                gid: u32::MAX,
                gfid: FILE_ID.to_owned(),
                volume: VOLUME_ID.to_owned(),
                holes: Holes::largest(&holes, size, LONGEST),
            };
            let map = notes.to_metadata();
            let bytes = map
                .iter()
                .map(|(name, value)| PREFIX + name.len() + value.len());
            let added = [(CHECKSUM, LONGEST_CHECKSUM), (ENCODING, LONGEST_ENCODING)];
            let added = added.map(|(name, value)| PREFIX + name.len() + value);
            let bytes = bytes.sum::<usize>() + added.iter().sum::<usize>();
            assert!(
                (1800..=METADATA).contains(&bytes) || length < 1000,
                "{bytes}"
            );
            let read = Notes::of_metadata(&map).unwrap().holes.in_file(size);
            assert!(read.len() > 10 && read.iter().all(|hole| holes.contains(hole)));
        }
    }
}
