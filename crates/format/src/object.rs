// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What an archived object is called, and what is written beside its bytes.
//!
//! The key is `VOLUME-ID/GFID/ARCHIVE-ID`: a file keeps its gfid when it is renamed, and every archive of it has an id
//! of its own, so no object is ever overwritten and none can be taken for another file's. The notes beside the bytes
//! say what the file was, so that a lost volume can be rebuilt from the store alone.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::claim::Time;

/// The parts of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// The volume's id.
    pub volume: &'a str,
    /// The file's.
    pub gfid: &'a str,
    /// The archive's; sorts by time.
    pub archive: &'a str,
}

impl<'a> Key<'a> {
    /// Of a text; `None` if it is of another form.
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

/// Whether a text is a uuid as GlusterFS writes it.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// The text of a uuid.
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
/// Of the whole object, `algorithm:base64`.
pub const CHECKSUM: &str = "cloudsync-checksum";
/// Longer paths are left out: S3 has room for 2 KiB of metadata in all.
const LONGEST_PATH: usize = 1400;

/// What a file was when it was archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notes {
    /// Below the volume's root, without a leading slash; `None` if it was too long to be noted.
    pub path: Option<Vec<u8>>,
    /// Bytes.
    pub size: u64,
    /// Last change of the bytes.
    pub mtime: Time,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The file's id.
    pub gfid: String,
    /// The volume's.
    pub volume: String,
}

impl Notes {
    /// As they are kept beside the bytes.
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
        map
    }

    /// Of what is kept beside an object; `None` if that is not ours.
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
        })
    }
}

/// A path as plain ASCII, other bytes as `=hh`: names are bytes, metadata is text. Not as `%hh`, which some store or
/// tool on the way might take for its own.
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
        };
        let map = notes.to_metadata();
        assert_eq!(Notes::of_metadata(&map).unwrap().path, None);
        assert_eq!(Notes::of_metadata(&BTreeMap::new()), None);
    }
}
