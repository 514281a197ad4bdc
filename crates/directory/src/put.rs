// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! From a source to an object: everything is written to a folder of its own and flushed, then that folder is renamed
//! into its place, and the folders around are flushed.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use cloudsync_store::{Object, StoreError, Upload};
use rustix::fs::{AtFlags, Mode, OFlags, fsync, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::failure::errno;
use crate::found::FOLDER;
use crate::meta::Meta;
use crate::place::{self, STAGING};
use crate::store::Directory;

const PIECE: usize = 1 << 20;
/// What is archived may be secret, and who reads it back checks nothing but the file's mode.
const PRIVATE_FOLDER: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A folder below `staging`. What is in it is removed with the value, unless it became an object.
struct Stage<'a> {
    store: &'a Directory,
    staging: &'a OwnedFd,
    folder: OwnedFd,
    name: &'a str,
    kept: bool,
}

impl Directory {
    /// See [`cloudsync_store::Archive::put`].
    pub(crate) fn put_object(&self, key: &str, upload: &Upload<'_>) -> Result<Object, StoreError> {
        let folders = place::folders(key)?;
        match self.find(key) {
            Ok(_) | Err(StoreError::Corrupt(_)) => return Err(exists()),
            Err(StoreError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
        let root = self.root()?;
        let staging = self.make_folder(&root, STAGING)?;
        let etag = self.random_name()?;
        let stage = Stage::new(self, &staging, &etag)?;
        let meta = Meta {
            key: key.to_owned(),
            size: upload.size,
            etag: etag.clone(),
            checksum: upload.checksum,
            kept: upload.metadata.clone(),
        };
        // First the description: what is left after a crash can be told by it.
        stage.write("meta", |file| {
            file.write_all(meta.to_text().as_bytes())
                .map_err(|error| self.failure("write the object's description", errno(&error)))
        })?;
        stage.write("data", |file| self.copy(upload, file))?;
        self.flush(&stage.folder)?;
        let place = self.place_for(&root, &folders)?;
        stage.publish(&place, folders.last().map_or("", String::as_str))?;
        Ok(Object {
            size: upload.size,
            etag: Some(etag),
            checksum: Some(upload.checksum),
        })
    }

    fn copy(&self, upload: &Upload<'_>, file: &mut File) -> Result<(), StoreError> {
        let mut checksum = upload.checksum.verify();
        let length = usize::try_from(upload.size).map_or(PIECE, |size| size.min(PIECE));
        let mut buffer = vec![0; length];
        let mut at = 0;
        while at < upload.size {
            let wanted = usize::try_from(upload.size - at).map_or(PIECE, |left| left.min(PIECE));
            let piece = &mut buffer[..wanted];
            upload
                .source
                .read_exact_at(piece, at)
                .map_err(|error| StoreError::Source(error.to_string()))?;
            checksum.update(piece);
            file.write_all(piece)
                .map_err(|error| self.failure("write the object", errno(&error)))?;
            at += wanted as u64;
        }
        checksum
            .finish()
            .map_err(|mismatch| StoreError::Corrupt(mismatch.to_string()))
    }

    /// Makes the folders above an object, flushed down to the last, and opens that. Every one is flushed even when it
    /// was there: who made it may not have come to that yet.
    fn place_for(&self, root: &OwnedFd, folders: &[String]) -> Result<OwnedFd, StoreError> {
        let (_, above) = folders.split_last().unwrap_or((&folders[0], &[]));
        let mut folder = root
            .try_clone()
            .map_err(|error| self.failure("open the folder", errno(&error)))?;
        for name in above {
            let below = self.make_folder(&folder, name)?;
            self.flush(&folder)?;
            folder = below;
        }
        Ok(folder)
    }

    /// Opens a folder, makes it if it is not there.
    pub(crate) fn make_folder(&self, above: &OwnedFd, name: &str) -> Result<OwnedFd, StoreError> {
        match mkdirat(above, name, PRIVATE_FOLDER) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.failure("make a folder", errno)),
        }
        openat(above, name, FOLDER, Mode::empty())
            .map_err(|errno| self.failure("open a folder", errno))
    }

    /// Until what was done in a folder is on the disk.
    pub(crate) fn flush(&self, folder: &OwnedFd) -> Result<(), StoreError> {
        match fsync(folder) {
            // File systems that have nothing to flush there.
            Ok(()) | Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            Err(errno) => Err(self.failure("flush a folder", errno)),
        }
    }

    pub(crate) fn random_name(&self) -> Result<String, StoreError> {
        let mut bytes = [0; 16];
        let got = getrandom(&mut bytes, GetRandomFlags::empty());
        got.map_err(|errno| self.failure("get a random number", errno))?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl<'a> Stage<'a> {
    fn new(store: &'a Directory, staging: &'a OwnedFd, name: &'a str) -> Result<Self, StoreError> {
        let made = mkdirat(staging, name, PRIVATE_FOLDER);
        made.map_err(|errno| store.failure("make a folder", errno))?;
        let folder = openat(staging, name, FOLDER, Mode::empty())
            .map_err(|errno| store.failure("open a folder", errno))?;
        Ok(Self {
            store,
            staging,
            folder,
            name,
            kept: false,
        })
    }

    /// Makes a file, filled by `fill` and flushed.
    fn write(
        &self,
        name: &str,
        fill: impl FnOnce(&mut File) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.folder, name, flags, PRIVATE_FILE);
        let mut file = File::from(file.map_err(|errno| self.store.failure("make a file", errno))?);
        fill(&mut file)?;
        fsync(&file).map_err(|errno| self.store.failure("flush the object", errno))
    }

    /// Renames the folder into `place`. From then on it is an object.
    fn publish(mut self, place: &OwnedFd, name: &str) -> Result<(), StoreError> {
        let renamed = renameat(self.staging, self.name, place, name);
        if let Err(errno) = renamed
            && !self.is_there(place, name)
        {
            return match errno {
                Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR => Err(exists()),
                errno => Err(self.store.failure("put the object into its place", errno)),
            };
        }
        self.kept = true;
        let flushed = self
            .store
            .flush(place)
            .and_then(|()| self.store.flush(self.staging));
        if flushed.is_err() {
            // Nobody promised to keep it: it must not be seen.
            let _ = renameat(place, name, self.staging, self.name);
            self.kept = false;
        }
        flushed
    }

    /// Whether a rename that failed happened all the same: an NFS server that lost its answer and is asked again says
    /// that there is nothing to rename.
    fn is_there(&self, place: &OwnedFd, name: &str) -> bool {
        let meta = openat(place, name, FOLDER, Mode::empty())
            .ok()
            .and_then(|folder| self.store.read_meta(&folder).ok().flatten());
        meta.is_some_and(|meta| meta.etag == self.name)
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.store.remove_staged(self.staging, self.name);
        }
    }
}

impl Directory {
    /// Removes a folder below `staging`. What cannot be removed now is left for [`Directory::unfinished`]: on NFS a
    /// file that another process of this client still reads keeps its folder alive.
    pub(crate) fn remove_staged(&self, staging: &OwnedFd, name: &str) {
        if let Ok(folder) = openat(staging, name, FOLDER, Mode::empty()) {
            let _ = unlinkat(&folder, "data", AtFlags::empty());
            let _ = unlinkat(&folder, "meta", AtFlags::empty());
        }
        let _ = unlinkat(staging, name, AtFlags::REMOVEDIR);
    }

    /// See [`cloudsync_store::Archive::delete`]. The object is gone with a rename; what it held goes afterwards.
    pub(crate) fn remove(&self, key: &str) -> Result<(), StoreError> {
        let root = self.root()?;
        let folders = place::folders(key)?;
        let (name, above) = folders.split_last().unwrap_or((&folders[0], &[]));
        match openat(&root, above.join("/"), FOLDER, Mode::empty()) {
            Ok(place) => {
                let staging = self.make_folder(&root, STAGING)?;
                let gone = self.random_name()?;
                match renameat(&place, name, &staging, &gone) {
                    Ok(()) => {
                        self.flush(&place)?;
                        self.remove_staged(&staging, &gone);
                    }
                    Err(Errno::NOENT) => {}
                    Err(errno) => return Err(self.failure("remove the object", errno)),
                }
            }
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(self.failure("remove the object", errno)),
        }
        self.remove_plain(&root, key)
    }

    fn remove_plain(&self, root: &OwnedFd, key: &str) -> Result<(), StoreError> {
        let Some(names) = place::plain(key) else {
            return Ok(());
        };
        let Some((file, above)) = names.split_last() else {
            return Ok(());
        };
        let gone =
            |errno| [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::NAMETOOLONG].contains(&errno);
        let mut folder = match openat(root, place::PLAIN, FOLDER, Mode::empty()) {
            Ok(folder) => folder,
            Err(errno) if gone(errno) => return Ok(()),
            Err(errno) => return Err(self.failure("remove the object", errno)),
        };
        for name in above {
            folder = match openat(&folder, *name, FOLDER, Mode::empty()) {
                Ok(folder) => folder,
                Err(errno) if gone(errno) => return Ok(()),
                Err(errno) => return Err(self.failure("remove the object", errno)),
            };
        }
        match unlinkat(&folder, *file, AtFlags::empty()) {
            Ok(()) => self.flush(&folder),
            Err(Errno::ISDIR) => Ok(()),
            Err(errno) if gone(errno) => Ok(()),
            Err(errno) => Err(self.failure("remove the object", errno)),
        }
    }
}

fn exists() -> StoreError {
    StoreError::Exists("another archive has this key; nothing was changed".to_owned())
}
