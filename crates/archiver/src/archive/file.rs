// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Archives one file.
//!
//! ```text
//! find -> not in use -> open -> local -> store a key -> stat -> read, checksum -> upload -> handshake
//! ```
//!
//! The key is written to the file *before* the stat. After it, the archiver changes nothing on the file until the
//! handshake, so any change by others is visible in ctime. The key is the archiver's own note
//! (`trusted.cloudsync.last`), which no recall reads; the handshake carries the key itself. A run that is killed leaves
//! at most that note: if the object is complete by the next run and the file is unchanged, the file is truncated
//! without another upload.

use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cloudsync_format::claim::Seen;
use cloudsync_format::holes::{Holes, LONGEST};
use cloudsync_format::object::Notes;
use cloudsync_format::pin::Pin;
use cloudsync_store::{Archive, Rate, StoreError, Upload};

use super::bytes::Bytes;
use super::handshake::{Stored, changed, handshake, seen};
use super::marks::{self, Hints, Marked};
use super::open::Folders;
use super::outcome::{Done, Problem, Why};
use super::sparse::Way;
use super::state::{check_local, settle};
use crate::cli::KeyLayout;
use crate::crawl::is_gone;
use crate::crawl::order::Candidate;
use crate::crawl::select::{LeftOut, Selection};
use crate::crawl::times::Times;
use crate::volume::Volume;

/// Without features.ctime a file's times are the brick's, as coarse as its kernel's clock tick. After this pause a
/// change is sure to get a different time.
const TICK: Duration = Duration::from_millis(20);
/// Attempts with one file, each with a new key.
const ATTEMPTS: u32 = 3;

/// Callbacks of one file's upload.
pub(super) struct Course<'a> {
    /// Limits the bytes sent per second.
    pub(super) rate: Option<&'a Arc<Rate>>,
    /// Called with the number of bytes of each read of the upload.
    pub(super) sent: &'a (dyn Fn(u64) + Sync),
}

/// Archives files of one volume.
pub(super) struct Archiver<'a> {
    pub(super) volume: &'a Volume,
    /// The folders of our own mount.
    pub(super) folders: Folders,
    /// A brick to read hints from first: no network round trip, and the handshake verifies what it says.
    pub(super) brick: Option<&'a Path>,
    pub(super) store: &'a dyn Archive,
    /// The store's name; `None`: the volume's own.
    pub(super) store_name: Option<&'a str>,
    pub(super) layout: KeyLayout,
    pub(super) selection: &'a Selection,
}

impl Archiver<'_> {
    /// Archives one file. A file that is skipped is [`Done::Left`], not an error.
    pub(super) fn archive(
        &self,
        candidate: &Candidate,
        course: &Course<'_>,
    ) -> Result<Done, Problem> {
        let mut done = self.attempt(candidate, course);
        for _ in 1..ATTEMPTS {
            if matches!(done, Err(Problem::Again)) {
                done = self.attempt(candidate, course);
            }
        }
        match done {
            Err(Problem::Left(why)) => Ok(Done::Left(why)),
            Err(Problem::Io(_, error)) if is_gone(&error) => Ok(Done::Left(Why::Gone)),
            other => other,
        }
    }

    fn attempt(&self, candidate: &Candidate, course: &Course<'_>) -> Result<Done, Problem> {
        let place = self.folders.find(&candidate.path);
        let place = place.map_err(|error| Problem::Io("finding it", error))?;
        let file = place.open()?;
        let hints = self
            .brick
            .map(|brick| Hints::read(&brick.join(&candidate.path)));
        let hints = hints.unwrap_or_default();
        if !hints.local {
            if matches!(check_local(&file), Err(Problem::Left(Why::Busy))) {
                settle(&file)?;
            }
            check_local(&file)?;
        }
        let gfid = match &hints.gfid {
            Some(gfid) => gfid.clone(),
            None => marks::gfid(&file)?,
        };
        let marked = Marked::mark(self, &file, &candidate.path, &gfid, &hints)?;
        let done = self.marked(&file, candidate, &gfid, &marked, course);
        if matches!(done, Err(Problem::Again)) {
            Marked::forget(&file);
        }
        done
    }

    fn marked(
        &self,
        file: &File,
        candidate: &Candidate,
        gfid: &str,
        marked: &Marked,
        course: &Course<'_>,
    ) -> Result<Done, Problem> {
        let stat = |file: &File| {
            file.metadata()
                .map_err(|error| Problem::Io("reading its attributes", error))
        };
        let before = stat(file)?;
        self.check_wanted(&before, candidate)?;
        // The hints may be of another file that was at this path before, or the brick may not know yet that this file
        // is cold: a cold file shows one block.
        if !marks::is_of(gfid, before.ino()) {
            return Err(Problem::Left(Why::Changed));
        }
        if before.blocks() <= 1 {
            check_local(file)?;
        }
        let seen = seen(&before);
        if !self.volume.keeps_times() {
            thread::sleep(TICK);
        }
        let way = match self.volume.erasure_coded {
            true => Way::Read,
            false => Way::Ask,
        };
        let bytes = Bytes::read(file, &before, way, course.sent)?;
        let holes = Holes::largest(&bytes.holes, seen.size, LONGEST);
        let notes = Notes {
            path: Some(path_bytes(&candidate.path)),
            size: seen.size,
            mtime: seen.mtime,
            mode: before.permissions().mode() & 0o7777,
            uid: before.uid(),
            gid: before.gid(),
            gfid: gfid.to_owned(),
            volume: self.volume.id.clone(),
            holes,
        };
        let there = marked.object(self, &notes, bytes.checksum)?;
        if !there {
            self.upload(file, &seen, &notes, &bytes, marked, course)?;
        }
        // The translator checks under the file's lock that the file is unchanged and the object stored.
        let stored = Stored {
            store: self.store_name,
            key: &marked.key,
            checksum: Some(bytes.checksum),
            holes: &notes.holes,
        };
        self.truncate(file, seen, &stored)?;
        Ok(Done::Archived {
            bytes: seen.size,
            uploaded: !there,
        })
    }

    /// Has the translator truncate the file, after it has compared file and object. If its plugin knows no checksums,
    /// the archiver compares the object's first.
    fn truncate(&self, file: &File, seen: Seen, stored: &Stored<'_>) -> Result<(), Problem> {
        match handshake(file, seen, stored) {
            Err(Problem::CannotCompare) => {}
            done => return done,
        }
        let key = stored.key;
        let object = self.store.head(key);
        let object = object.map_err(|error| Problem::Store("checking its object", error))?;
        if object.size != seen.size || object.checksum != stored.checksum {
            let why = format!("the object {key} differs from what was uploaded");
            return Err(Problem::Store(
                "checking its object",
                StoreError::Corrupt(why),
            ));
        }
        let unsummed = Stored {
            checksum: None,
            ..*stored
        };
        handshake(file, seen, &unsummed)
    }

    /// Uploads the file. Returns once the store has acknowledged the whole object.
    fn upload(
        &self,
        file: &File,
        seen: &Seen,
        notes: &Notes,
        bytes: &Bytes<'_>,
        marked: &Marked,
        course: &Course<'_>,
    ) -> Result<(), Problem> {
        let upload = Upload {
            size: seen.size,
            checksum: bytes.checksum,
            metadata: &notes.to_metadata(),
            source: bytes,
            rate: course.rate,
            resumable: true,
        };
        match self.store.put(&marked.key, &upload) {
            Ok(object) if object.size == seen.size && object.checksum == Some(bytes.checksum) => {
                Ok(())
            }
            Ok(_) => Err(Problem::Other(format!(
                "the object {} differs from what was uploaded",
                marked.key
            ))),
            // Another archiver may have read the same key from the file, and uploaded the same bytes.
            Err(error @ StoreError::Exists(_)) => {
                match marked.compare(self, notes, bytes.checksum)? {
                    true => Ok(()),
                    false => Err(Problem::Store("uploading it", error)),
                }
            }
            // The bytes sent differ from those of the checksum: the file is being written to.
            Err(StoreError::Corrupt(_)) if changed(file, seen)? => Err(Problem::Left(Why::Changed)),
            Err(error) => Err(Problem::Store("uploading it", error)),
        }
    }

    /// Repeats the selection's checks, because the file may have changed since it was found.
    fn check_wanted(&self, data: &Metadata, candidate: &Candidate) -> Result<(), Problem> {
        if !data.is_file() {
            return Err(Problem::Left(Why::Special));
        }
        if data.len() == 0 {
            return Err(Problem::Left(Why::Empty));
        }
        let pin = candidate.soon.then_some(Pin::ArchiveSoon);
        match self.selection.check_times(&Times::of(data), pin) {
            Ok(()) => Ok(()),
            Err(LeftOut::Used) => Err(Problem::Left(Why::Used)),
            Err(_) => Err(Problem::Left(Why::Fresh)),
        }
    }
}

fn path_bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}
