// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The key of the object that a file is to become, written on the file before it is read.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use cloudsync_format::object::{Key, Notes, is_uuid};
use cloudsync_format::xattr as names;
use cloudsync_store::{Checksum, StoreError};
use rustix::fs::XattrFlags;
use xattr::FileExt;

use super::file::{Archiver, Problem, Why};
use crate::cli::KeyLayout;

/// The file's id.
pub(super) fn gfid(file: &File) -> Result<String, Problem> {
    let failed = |error| Problem::Io("asking for its gfid", error);
    let text = file.get_xattr("glusterfs.gfid.string").map_err(failed)?;
    text.and_then(|text| String::from_utf8(text).ok())
        .map(|text| text.trim_end_matches('\0').to_owned())
        .filter(|text| is_uuid(text))
        .ok_or_else(|| Problem::Other("the volume does not tell its gfid".to_owned()))
}

/// A file with its key on it.
pub(super) struct Marked {
    pub(super) key: String,
    /// Whether there may be an object of that key already.
    known: bool,
}

impl Marked {
    /// Finds a key, or makes one, and writes it on the file.
    pub(super) fn mark(
        archiver: &Archiver<'_>,
        file: &File,
        path: &Path,
        gfid: &str,
    ) -> Result<Self, Problem> {
        let ours = |key: &String| match archiver.layout {
            KeyLayout::Id => Key::parse(key)
                .is_some_and(|key| key.volume == archiver.volume.id && key.gfid == gfid),
            KeyLayout::Path => path.to_str() == Some(key),
        };
        // Of a run that was killed; of an archive before the last recall.
        let left_behind = get(file, names::KEY)?;
        let last = get(file, names::LAST)?.filter(ours);
        if let Some(key) = left_behind {
            // A recalled file that was modified has no use for its old key.
            if ours(&key) && last.as_ref() == Some(&key) && !archiver.outdated(&key, file)? {
                return Ok(Self { key, known: true });
            }
            remove(file, names::KEY);
            // It may have been another archiver's, of this moment, and the file cold by now.
            archiver.check_local(file)?;
        }
        let again = match last {
            Some(key) if !archiver.outdated(&key, file)? => Some(key),
            _ => None,
        };
        let known = again.is_some() || archiver.layout == KeyLayout::Path;
        let key = match (again, archiver.layout) {
            (Some(key), _) => key,
            (None, KeyLayout::Id) => Key {
                volume: &archiver.volume.id,
                gfid,
                archive: &archive_id(),
            }
            .to_string(),
            (None, KeyLayout::Path) => path
                .to_str()
                .ok_or_else(|| {
                    Problem::Other("its name is not UTF-8: use --key-layout id".to_owned())
                })?
                .to_owned(),
        };
        set(file, names::LAST, &key, XattrFlags::empty())?;
        set(file, names::KEY, &key, XattrFlags::CREATE)?;
        Ok(Self { key, known })
    }

    /// Whether the store has the file's object already: proven by what is written beside it and by the checksum of
    /// the bytes that are here.
    pub(super) fn object(
        &self,
        archiver: &Archiver<'_>,
        notes: &Notes,
        checksum: Checksum,
    ) -> Result<bool, Problem> {
        if self.known {
            self.compare(archiver, notes, checksum)
        } else {
            Ok(false)
        }
    }

    /// The same, for a key that there may be an object of.
    pub(super) fn compare(
        &self,
        archiver: &Archiver<'_>,
        notes: &Notes,
        checksum: Checksum,
    ) -> Result<bool, Problem> {
        let (object, metadata) = match archiver.store.describe(&self.key) {
            Ok(found) => found,
            Err(StoreError::Missing(_)) => return Ok(false),
            Err(error) => return Err(Problem::Store("asking for its object", error)),
        };
        let theirs = Notes::of_metadata(&metadata);
        let same = theirs.as_ref().is_some_and(|theirs| {
            theirs.gfid == notes.gfid
                && theirs.volume == notes.volume
                && theirs.size == notes.size
                && theirs.mtime == notes.mtime
        });
        if same && object.size == notes.size && object.checksum == Some(checksum) {
            return Ok(true);
        }
        if archiver.layout == KeyLayout::Id {
            return Err(Problem::Again);
        }
        let what = match theirs {
            Some(theirs) if theirs.gfid == notes.gfid => "an older state of this file",
            _ => "something else",
        };
        Err(Problem::Other(format!(
            "the store has {what} under {}, which is not overwritten",
            self.key
        )))
    }

    /// Whether the key is still there.
    pub(super) fn is_on(&self, file: &File) -> bool {
        !matches!(get(file, names::KEY), Ok(key) if key.as_ref() != Some(&self.key))
    }

    /// Takes the key off a file that was not cut.
    pub(super) fn unmark(&self, file: &File) {
        remove(file, names::KEY);
    }

    /// The key is of no use to the file any more.
    pub(super) fn forget(&self, file: &File) {
        remove(file, names::KEY);
        remove(file, names::LAST);
    }
}

impl Archiver<'_> {
    /// Whether the object of that key is of another state of the file. One that is not there is not.
    fn outdated(&self, key: &str, file: &File) -> Result<bool, Problem> {
        if self.layout == KeyLayout::Path {
            return Ok(false);
        }
        let metadata = match self.store.describe(key) {
            Ok((_, metadata)) => metadata,
            Err(StoreError::Missing(_)) => return Ok(false),
            Err(error) => return Err(Problem::Store("asking for its last object", error)),
        };
        let data = file
            .metadata()
            .map_err(|error| Problem::Io("looking at it", error))?;
        let now = super::file::seen(&data);
        Ok(Notes::of_metadata(&metadata)
            .is_none_or(|notes| notes.size != now.size || notes.mtime != now.mtime))
    }
}

/// Sorts by time, and no two are the same.
fn archive_id() -> String {
    let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let plain: String = now.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    format!("{plain}-{:08x}", fastrand::u32(..))
}

pub(super) fn get(file: &File, name: &std::ffi::CStr) -> Result<Option<String>, Problem> {
    let value = file
        .get_xattr(name.to_str().unwrap_or_default())
        .map_err(|error| Problem::Io("reading its marks", error))?;
    Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
}

fn set(file: &File, name: &std::ffi::CStr, value: &str, flags: XattrFlags) -> Result<(), Problem> {
    match rustix::fs::fsetxattr(file, name, value.as_bytes(), flags) {
        Ok(()) => Ok(()),
        // Another archiver was faster.
        Err(rustix::io::Errno::EXIST) => Err(Problem::Left(Why::Busy)),
        Err(error) => Err(Problem::Io("marking it", io::Error::from(error))),
    }
}

fn remove(file: &File, name: &std::ffi::CStr) {
    // That there is none is what we want.
    let _ = file.remove_xattr(name.to_str().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fit_into_keys_and_sort_by_time() {
        let (one, two) = (archive_id(), archive_id());
        assert!(one[..20] <= two[..20], "{one} {two}");
        let uuid = "8a45823a-57e8-4fe2-a80c-c265638ce08f";
        assert!(Key::parse(&format!("{uuid}/{uuid}/{one}")).is_some());
    }
}
