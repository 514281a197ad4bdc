// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Stores on a file the key of the object that it is to become, before the file is read.

use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use cloudsync_format::object::{self, Key, Notes, is_uuid};
use cloudsync_format::{command, stores, xattr as names};
use cloudsync_store::{Checksum, StoreError};
use rustix::fs::XattrFlags;
use xattr::FileExt;

use super::file::Archiver;
use super::handshake::seen;
use super::outcome::{Problem, Why};
use super::state::get;
use crate::cli::KeyLayout;
use crate::crawl::text;

/// The file's gfid, in the text form of a UUID.
pub(super) fn gfid(file: &File) -> Result<String, Problem> {
    let failed = |error| Problem::Io("reading its gfid", error);
    let text = file.get_xattr("glusterfs.gfid.string").map_err(failed)?;
    text.and_then(|text| String::from_utf8(text).ok())
        .map(|text| text.trim_end_matches('\0').to_owned())
        .filter(|text| is_uuid(text))
        .ok_or_else(|| Problem::Other("the volume does not return its gfid".to_owned()))
}

/// Whether `inode` is the number that GlusterFS derives from this gfid: its last 8 bytes.
pub(super) fn is_of(gfid: &str, inode: u64) -> bool {
    let digits: String = gfid.chars().filter(|c| *c != '-').collect();
    let end = digits
        .get(16..)
        .and_then(|end| u64::from_str_radix(end, 16).ok());
    // The root's number is 1 instead.
    end == Some(inode)
}

/// What a brick has on a file. Unverified: the brick may be behind the others.
#[derive(Debug, Default)]
pub(super) struct Hints {
    pub(super) gfid: Option<String>,
    /// Neither cold nor marked.
    pub(super) local: bool,
    /// The brick has no note (`trusted.cloudsync.last`) for the file.
    no_note: bool,
}

impl Hints {
    /// Reads them from the file's path on the brick. Errors leave the hint unset.
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

/// A file that has a key.
pub(super) struct Marked {
    pub(super) key: String,
    /// Whether an object of that key may exist already.
    known: bool,
}

impl Marked {
    /// Reuses the key on the file, or writes a new one to it.
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
                archive: &unique_id(SystemTime::now()),
            }
            .to_string(),
        };
        // Left by a killed run, or by an archive before the last recall. A copied file may carry the key of another.
        // One in another store is left to that: a key has the same bytes in every store.
        let ours = |note: String| {
            let (store, key) = stores::of_note(&note);
            let its = |key: Key<'_>| key.volume == archiver.volume.id && key.gfid == gfid;
            let ours = store == archiver.store_name && Key::parse(key).is_some_and(its);
            ours.then(|| key.to_owned())
        };
        let last = if hints.no_note {
            None
        } else {
            get(file, names::LAST)?
        };
        let there = last.is_some();
        if let Some(last) = last.and_then(ours)
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
        // Created, not replaced: of two concurrent archivers only one gets its key onto the file.
        let note = stores::note(archiver.store_name, &key);
        match rustix::fs::fsetxattr(file, command::LAST, note.as_bytes(), XattrFlags::CREATE) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => return Err(Problem::Left(Why::Busy)),
            Err(error) => return Err(Problem::Io("writing its key", error.into())),
        }
        Ok(Self { key, known: false })
    }

    /// Whether the store has the file's object already. Proof is the object's metadata together with its checksum,
    /// compared with that of the local bytes.
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

    /// As [`object`](Self::object), for a key that may have an object.
    pub(super) fn compare(
        &self,
        archiver: &Archiver<'_>,
        notes: &Notes,
        checksum: Checksum,
    ) -> Result<bool, Problem> {
        let (object, metadata) = match archiver.store.describe(&self.key) {
            Ok(found) => found,
            Err(StoreError::Missing(_)) => return Ok(false),
            Err(error) => return Err(Problem::Store("checking its object", error)),
        };
        let theirs = Notes::of_metadata(&metadata);
        let same = theirs.as_ref().is_some_and(|theirs| {
            theirs.gfid == notes.gfid
                && theirs.volume == notes.volume
                && theirs.size == notes.size
                && theirs.mtime == notes.mtime
        });
        if same && object.size == notes.size && object.checksum == Some(checksum) {
            // An object for other recipients is put again, under another key.
            let current = archiver.layout == KeyLayout::Path || {
                let current = archiver.store.is_current(&self.key);
                current.map_err(|error| Problem::Store("checking its object", error))?
            };
            if current {
                return Ok(true);
            }
        }
        if archiver.layout == KeyLayout::Id {
            return Err(Problem::Again);
        }
        let what = match theirs {
            Some(theirs) if theirs.gfid == notes.gfid => "an older version of this file",
            _ => "another object",
        };
        Err(Problem::Other(format!(
            "{}: the store already has {what} under this key, and does not overwrite it",
            self.key
        )))
    }

    /// Removes the key from the file, as it is of no further use.
    pub(super) fn forget(file: &File) {
        // It fails if there is no key, which is just as well.
        let _ = file.remove_xattr(text(command::LAST));
    }
}

impl Archiver<'_> {
    /// Whether the key's object holds another version of the file. False if there is no object.
    fn outdated(&self, key: &str, file: &File) -> Result<bool, Problem> {
        let metadata = match self.store.describe(key) {
            Ok((_, metadata)) => metadata,
            Err(StoreError::Missing(_)) => return Ok(false),
            Err(error) => return Err(Problem::Store("checking its last object", error)),
        };
        let data = file.metadata();
        let data = data.map_err(|error| Problem::Io("reading its attributes", error))?;
        let now = seen(&data);
        Ok(Notes::of_metadata(&metadata)
            .is_none_or(|notes| notes.size != now.size || notes.mtime != now.mtime))
    }
}

/// A unique id that sorts by time.
pub(crate) fn unique_id(moment: SystemTime) -> String {
    format!("{}-{:08x}", stamp(moment), fastrand::u32(..))
}

/// What the ids of a moment's archives begin with: `20261129T232721196Z`.
pub(crate) fn stamp(moment: SystemTime) -> String {
    let text = humantime::format_rfc3339_millis(moment).to_string();
    text.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// When an object was archived, for people: `2026-11-29T23:27:21Z`. `None` if its key does not end with an id that tells.
pub(crate) fn moment_of(key: &str) -> Option<String> {
    let id = key.rsplit('/').next()?;
    let (date, time) = id.split_once('T')?;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (date, time) = (date.get(..8)?, time.get(..6)?);
    (plain(date) && plain(time)).then(|| {
        let (year, day) = date.split_at(4);
        let (month, day) = day.split_at(2);
        let (hours, seconds) = time.split_at(2);
        let (minutes, seconds) = seconds.split_at(2);
        format!("{year}-{month}-{day}T{hours}:{minutes}:{seconds}Z")
    })
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
        let (one, two) = (unique_id(SystemTime::now()), unique_id(SystemTime::now()));
        assert!(one[..20] <= two[..20], "{one} {two}");
        let uuid = "8a45823a-57e8-4fe2-a80c-c265638ce08f";
        assert!(Key::parse(&format!("{uuid}/{uuid}/{one}")).is_some());
        let key = format!("{uuid}/{uuid}/20261129T232721196Z-d5c4c828");
        assert_eq!(moment_of(&key).unwrap(), "2026-11-29T23:27:21Z");
        for other in ["20261129", "T1", "2026112éT232721", "20261129T23272"] {
            assert_eq!(moment_of(&format!("{uuid}/{uuid}/{other}")), None);
        }
    }
}
