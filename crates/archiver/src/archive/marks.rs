// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The key of the object that a file is to become, remembered on the file before it is read.

use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use cloudsync_format::object::{self, Key, Notes, is_uuid};
use cloudsync_format::{command, xattr as names};
use cloudsync_store::{Checksum, StoreError};
use rustix::fs::XattrFlags;
use xattr::FileExt;

use super::file::Archiver;
use super::hand_shake::seen;
use super::outcome::{Problem, Why};
use super::state::get;
use crate::cli::KeyLayout;
use crate::crawl::text;

/// The file's id.
pub(super) fn gfid(file: &File) -> Result<String, Problem> {
    let failed = |error| Problem::Io("asking for its gfid", error);
    let text = file.get_xattr("glusterfs.gfid.string").map_err(failed)?;
    text.and_then(|text| String::from_utf8(text).ok())
        .map(|text| text.trim_end_matches('\0').to_owned())
        .filter(|text| is_uuid(text))
        .ok_or_else(|| Problem::Other("the volume does not tell its gfid".to_owned()))
}

/// Whether that is the inode number that GlusterFS shows for a gfid.
pub(super) fn is_of(gfid: &str, inode: u64) -> bool {
    let digits: String = gfid.chars().filter(|c| *c != '-').collect();
    let end = digits
        .get(16..)
        .and_then(|end| u64::from_str_radix(end, 16).ok());
    // The root's is 1.
    end == Some(inode)
}

/// What a brick says of a file.
#[derive(Debug, Default)]
pub(super) struct Hints {
    pub(super) gfid: Option<String>,
    /// Neither cold nor marked.
    pub(super) local: bool,
    /// The brick has said that there is no note on it.
    no_note: bool,
}

impl Hints {
    pub(super) fn read(at: &Path) -> Self {
        let read = |name| xattr::get(at, name).ok();
        let absent = |name| matches!(read(text(name)), Some(None));
        let gfid = read("trusted.gfid").flatten();
        Self {
            gfid: gfid.and_then(|gfid| Some(object::uuid(gfid.try_into().ok()?))),
            local: absent(names::REMOTE) && absent(names::DOWNLOADING),
            no_note: absent(names::LAST),
        }
    }
}

/// A file that remembers its key.
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
        hints: &Hints,
    ) -> Result<Self, Problem> {
        let key = match archiver.layout {
            KeyLayout::Path => {
                let path = path.to_str();
                let wrong =
                    || Problem::Other("its name is not UTF-8: use --key-layout id".to_owned());
                return Ok(Self {
                    key: path.ok_or_else(wrong)?.to_owned(),
                    known: true,
                });
            }
            KeyLayout::Id => Key {
                volume: &archiver.volume.id,
                gfid,
                archive: &archive_id(),
            }
            .to_string(),
        };
        // Of a run that was killed, or of an archive before the last recall. A copy of a file may have that of another.
        let ours = |key: &String| {
            Key::parse(key).is_some_and(|key| key.volume == archiver.volume.id && key.gfid == gfid)
        };
        let last = if hints.no_note {
            None
        } else {
            get(file, names::LAST)?
        };
        let there = last.is_some();
        if let Some(last) = last.filter(ours)
            && !archiver.outdated(&last, file)?
        {
            return Ok(Self {
                key: last,
                known: true,
            });
        }
        if there {
            Self::forget(file);
        }
        // Created, not replaced: of two archivers at once only one gets its key onto the file.
        match rustix::fs::fsetxattr(file, command::LAST, key.as_bytes(), XattrFlags::CREATE) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => return Err(Problem::Left(Why::Busy)),
            Err(error) => return Err(Problem::Io("writing its key on it", error.into())),
        }
        Ok(Self { key, known: false })
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

    /// The key is of no use to the file any more.
    pub(super) fn forget(file: &File) {
        // That there is none is what we want.
        let _ = file.remove_xattr(text(command::LAST));
    }
}

impl Archiver<'_> {
    /// Whether the object of that key is of another state of the file. One that is not there is not.
    fn outdated(&self, key: &str, file: &File) -> Result<bool, Problem> {
        let metadata = match self.store.describe(key) {
            Ok((_, metadata)) => metadata,
            Err(StoreError::Missing(_)) => return Ok(false),
            Err(error) => return Err(Problem::Store("asking for its last object", error)),
        };
        let data = file.metadata();
        let data = data.map_err(|error| Problem::Io("looking at it", error))?;
        let now = seen(&data);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_s_number_is_the_end_of_its_gfid() {
        let gfid = "16b9ff79-211f-4fa1-b140-c7fadb218766";
        assert!(is_of(gfid, 12_772_428_423_454_885_734));
        assert!(!is_of(gfid, 1) && !is_of("", 0));
    }

    #[test]
    fn ids_fit_into_keys_and_sort_by_time() {
        let (one, two) = (archive_id(), archive_id());
        assert!(one[..20] <= two[..20], "{one} {two}");
        let uuid = "8a45823a-57e8-4fe2-a80c-c265638ce08f";
        assert!(Key::parse(&format!("{uuid}/{uuid}/{one}")).is_some());
    }
}
