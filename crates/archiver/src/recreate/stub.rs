// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Creates a cold file from the metadata of its object.

use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cloudsync_format::claim::Time;
use cloudsync_format::object::Notes;

use crate::archive::{Stored, handshake, seen};
use crate::volume::is_within;

/// The folder for files whose path was too long for the metadata.
const NAMELESS: &str = "cloudsync-found";

/// The attribute of a folder by which GlusterFS creates a file with a given gfid (`GF_FUSE_AUX_GFID_NEWFILE` in its
/// gfid-access translator, which geo-replication uses). A mount has it that finds files by gfid.
const NEW_FILE: &str = "glusterfs.gfid.newfile";

/// Creates a cold file for an object: sparse, with its original size and attributes, and made cold by the usual
/// handshake. `identity`: with its original gfid, too.
pub(super) fn make(
    stub: &Path,
    notes: &Notes,
    stored: &Stored<'_>,
    identity: bool,
) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let file = if identity {
        let folder = stub.parent().unwrap_or(Path::new("/"));
        let name = stub.file_name().unwrap_or_default();
        let new = new_file(&notes.gfid, name.as_bytes());
        let made = xattr::set(folder, NEW_FILE, &new);
        made.and_then(|()| File::options().write(true).open(stub))
    } else {
        File::create_new(stub)
    };
    let file = file.map_err(text)?;
    file.set_len(notes.size).map_err(text)?;
    // Also root's own: a folder may pass its group on.
    fchown(&file, Some(notes.uid), Some(notes.gid)).map_err(text)?;
    let mode = fs::Permissions::from_mode(notes.mode);
    file.set_permissions(mode).map_err(text)?;
    let mtime = time(notes.mtime).ok_or("the mtime in the object's metadata is out of range")?;
    let times = FileTimes::new().set_modified(mtime).set_accessed(mtime);
    file.set_times(times).map_err(text)?;
    let data = file.metadata().map_err(text)?;
    handshake(&file, seen(&data), stored).map_err(|problem| problem.to_string())
}

/// The value of [`NEW_FILE`] for an empty file that only root can access: owner and group, gfid, mode, name, mode, device
/// and umask. Numbers are big-endian, texts end with a zero byte.
fn new_file(gfid: &str, name: &[u8]) -> Vec<u8> {
    let mode = rustix::fs::FileType::RegularFile.as_raw_mode() | 0o600;
    let mut value = [0; 8].to_vec();
    for text in [gfid.as_bytes(), &[0]] {
        value.extend(text);
    }
    value.extend(mode.to_be_bytes());
    for text in [name, &[0]] {
        value.extend(text);
    }
    for number in [mode, 0, 0] {
        value.extend(number.to_be_bytes());
    }
    value
}

/// The file's path from the root of the volume. Rejects paths that could lead out of it.
pub(super) fn place(notes: &Notes) -> Result<PathBuf, String> {
    let Some(path) = &notes.path else {
        return Ok(Path::new(NAMELESS).join(&notes.gfid));
    };
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    if is_within(path) && path.file_name().is_some() {
        Ok(path.to_owned())
    } else {
        Err(format!(
            "the path in the object's metadata is not valid: {}",
            path.display()
        ))
    }
}

/// `None` if the time is out of range.
fn time(time: Time) -> Option<SystemTime> {
    let whole = Duration::from_secs(time.seconds.unsigned_abs());
    let second = if time.seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    second?.checked_add(Duration::from_nanos(time.nanos.into()))
}

#[cfg(test)]
mod tests {
    use cloudsync_format::holes::Holes;

    use super::*;

    fn notes(path: Option<&[u8]>) -> Notes {
        Notes {
            path: path.map(<[u8]>::to_vec),
            size: 1,
            mtime: Time {
                seconds: -1,
                nanos: 5,
            },
            mode: 0o600,
            uid: 0,
            gid: 0,
            gfid: "8a45823a-57e8-4fe2-a80c-c265638ce08f".to_owned(),
            volume: "8a45823a-57e8-4fe2-a80c-c265638ce08f".to_owned(),
            holes: Holes::default(),
        }
    }

    #[test]
    fn no_object_can_write_outside_of_the_volume() {
        for bad in [&b"../x"[..], b"/etc/passwd", b"a/../../x", b"", b".."] {
            assert!(place(&notes(Some(bad))).is_err(), "{bad:?}");
        }
        assert_eq!(place(&notes(Some(b"a/b"))), Ok(PathBuf::from("a/b")));
        assert!(place(&notes(None)).unwrap().starts_with(NAMELESS));
    }

    #[test]
    fn times_before_1970_are_times() {
        let then = time(notes(None).mtime).unwrap();
        let before = SystemTime::UNIX_EPOCH.duration_since(then).unwrap();
        assert_eq!(before, Duration::from_nanos(999_999_995));
    }
}
