// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Extended attributes and request keys of GlusterFS's archival feature.
//!
//! They are the host's (glusterfs.h, `GF_CS_*`) unless marked as ours; posix on the bricks reads and writes them. They
//! are C strings because the host takes them as such.

use std::ffi::CStr;

/// On a file: the object's key as the bricks know it. The file is cold if and only if it has this attribute.
pub const REMOTE: &CStr = c"trusted.glusterfs.cs.remote";
/// On a file: a recall is in progress, or was when its client died.
pub const DOWNLOADING: &CStr = c"trusted.glusterfs.cs.downloading";
/// On a file: its size in bytes, in decimal, while it is cold.
pub const OBJECT_SIZE: &CStr = c"trusted.glusterfs.cs.object_size";
/// On a file: its number of 512-byte blocks before it was archived, in decimal.
pub const NUM_BLOCKS: &CStr = c"trusted.glusterfs.cs.num_blocks";
/// On a file: its preferred block size before it was archived, in decimal.
pub const BLOCK_SIZE: &CStr = c"trusted.glusterfs.cs.block_size";
/// On a file: the object's key as our archiver wrote it. Ours; takes precedence over [`REMOTE`].
pub const KEY: &CStr = c"trusted.glusterfs.cs.key";
/// On a file: the version (etag) of the object that was proven to hold the file. Ours; a recall refuses any other
/// version, so that an object that was overwritten gives an error and not another file's bytes.
pub const VERSION: &CStr = c"trusted.glusterfs.cs.version";
/// On a file: the archived attributes (gfid, size, mtime, checksum), see [`crate::record::Record`]. Ours.
pub const RECORD: &CStr = c"trusted.glusterfs.cs.record";
/// On a local file: objects that it was archived as before bytes that no recall wrote were found in it, see
/// [`crate::record::Kept`]. Ours; removed by an administrator.
pub const KEPT: &CStr = c"trusted.cloudsync.kept";
/// On a file: the object that the archiver last made of it, or was about to make ([`crate::stores::note`]). Only the archiver
/// uses it.
/// It survives a recall, so that an unmodified file can be archived again without an upload.
pub const LAST: &CStr = c"trusted.cloudsync.last";
/// On a file: when it was last archived, in seconds since the epoch, in decimal. Ours; it survives a recall, so that the
/// archiver knows a recalled file from one that has never been archived.
pub const ARCHIVED: &CStr = c"trusted.cloudsync.archived";
/// On a file: 16 bytes that identify it in an archive whose names are its own. Set by such an archive's programs, read by
/// its plugin.
pub const ARCHIVE_UUID: &CStr = c"trusted.cloudsync.uuid";
/// On the first shard of a file (features/shard): the whole file's size, big-endian, in the first 8 bytes.
pub const SHARDED_SIZE: &CStr = c"trusted.glusterfs.shard.file-size";
/// The attributes of a file that is being recalled. A commit removes them in this order, once the bytes are on disk.
/// The size is last, because it shows a lookup that the removal was incomplete; an old key or version must not be taken
/// for a later one.
pub const COMMIT: [&CStr; 8] = [
    DOWNLOADING,
    REMOTE,
    NUM_BLOCKS,
    BLOCK_SIZE,
    KEY,
    VERSION,
    RECORD,
    OBJECT_SIZE,
];
/// Those that a local file may have left over: a cold file's attributes without [`REMOTE`].
pub const LEFT_OVERS: &[&CStr] = COMMIT.split_at(2).1;
/// In a request: return the file's state, and refuse data operations unless it is local (uint32 1). In an answer: the
/// state (uint64, see [`State`]).
pub const STATUS: &CStr = c"trusted.glusterfs.cs.status";
/// In a request: make a half-recalled file cold again. Has no effect together with [`STATUS`].
pub const REPAIR: &CStr = c"trusted.glusterfs.cs.repair";
/// In a write request: no other such request may run between the check of the state and the end of this one (uint32 1,
/// `GLUSTERFS_WRITE_UPDATE_ATOMIC`). Bricks support it in writev, fallocate, discard, zerofill and copy_file_range.
pub const ATOMIC: &CStr = c"glusterfs.write-update-atomic";
/// Set on a file by the archiver: the upload is complete, truncate the file. The value is a [`crate::claim::Claim`].
pub const UPLOAD_COMPLETE: &CStr = c"trusted.glusterfs.csou.complete";
/// The inode lock's domain that serialises archives and recalls of a file between clients.
pub const LOCK_DOMAIN: &CStr = c"cs.protect.file.stat";

/// Parses [`OBJECT_SIZE`]; `None` if it is not a size that a file can have (a non-negative `off_t`).
#[must_use]
pub fn size(value: &[u8]) -> Option<u64> {
    // C programs may include the terminating NUL.
    let text = std::str::from_utf8(value.strip_suffix(b"\0").unwrap_or(value)).ok()?;
    let size: u64 = text.trim().parse().ok()?;
    i64::try_from(size).is_ok().then_some(size)
}

/// A file's state in a brick's answer (`gf_cs_obj_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The bytes are on the brick.
    Local,
    /// The bytes are in the store.
    Remote,
    /// The bytes are in the store, and a recall is in progress or was abandoned half-way.
    Repair,
    /// Marked as being recalled, but not cold: an archive or a recall was interrupted near its end. The bytes are on
    /// the brick.
    Downloading,
    /// The brick could not determine the state.
    Error,
}

impl State {
    /// Converts a brick's value.
    #[must_use]
    pub const fn from_wire(value: u64) -> Self {
        match value {
            1 => Self::Local,
            2 => Self::Remote,
            4 => Self::Repair,
            8 => Self::Downloading,
            _ => Self::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_that_a_file_can_have() {
        for (value, expected) in [
            (&b"0"[..], Some(0)),
            (b"100", Some(100)),
            (b" 100\n", Some(100)),
            (b"100\0", Some(100)),
            (b"9223372036854775807", Some(i64::MAX as u64)),
            (b"9223372036854775808", None),
            (b"-1", None),
            (b"", None),
            (b"\0", None),
            (b"100\0\0", None),
            (b"100 bytes", None),
            (b"\xff", None),
        ] {
            assert_eq!(size(value), expected, "{value:?}");
        }
    }

    #[test]
    fn fuzz() {
        const CORPUS: &[&str] = &[
            "0",
            "100000",
            "100000\0",
            "9223372036854775807",
            "-1",
            "+5",
            "",
        ];
        cloudsync_fuzz::fuzz(CORPUS, |text| {
            if let Some(size) = size(text.as_bytes()) {
                let digits = text.trim_end_matches('\0').trim();
                assert_eq!(digits.trim_start_matches('+').parse(), Ok(size), "{text:?}");
            }
        });
    }
}
