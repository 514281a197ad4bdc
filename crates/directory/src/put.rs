// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Writes and removes objects. An upload is written to a folder of its own and flushed; then the folder is renamed into
//! its place, and the parent folders are flushed.

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
/// Objects may hold secrets, and within the store's folder only these modes control access.
const PRIVATE_FOLDER: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A folder below `staging`. Dropping it removes the folder, unless it has become an object.
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
        // The description first, by which an upload can be identified after a crash.
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

    /// Copies the upload's bytes to the file, and verifies the checksum.
    fn copy(&self, upload: &Upload<'_>, file: &mut File) -> Result<(), StoreError> {
        let mut checksum = upload.checksum.verify();
        let length = usize::try_from(upload.size).map_or(PIECE, |size| size.min(PIECE));
        let mut buffer = vec![0; length];
        let mut at = 0;
        while at < upload.size {
            let wanted = usize::try_from(upload.size - at).map_or(PIECE, |left| left.min(PIECE));
            let piece = &mut buffer[..wanted];
            if let Some(rate) = upload.rate {
                #[allow(clippy::cast_precision_loss, reason = "a rate need not be exact")]
                rate.wait(wanted as f64);
            }
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

    /// Creates the parent folders of an object, flushes each, and opens the last. Folders that exist are flushed as
    /// well, because another process that created them may not have done so yet.
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

    /// Opens a folder, and creates it if it does not exist.
    pub(crate) fn make_folder(&self, above: &OwnedFd, name: &str) -> Result<OwnedFd, StoreError> {
        match mkdirat(above, name, PRIVATE_FOLDER) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.failure("create a folder", errno)),
        }
        openat(above, name, FOLDER, Mode::empty())
            .map_err(|errno| self.failure("open a folder", errno))
    }

    /// Flushes changes of a folder's entries to disk.
    pub(crate) fn flush(&self, folder: &OwnedFd) -> Result<(), StoreError> {
        match fsync(folder) {
            // Some file systems have nothing to flush for a folder.
            Ok(()) | Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            Err(errno) => Err(self.failure("flush a folder", errno)),
        }
    }

    /// 128 random bits as hexadecimal text.
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
        made.map_err(|errno| store.failure("create a folder", errno))?;
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

    /// Creates a file, fills it with `fill` and flushes it.
    fn write(
        &self,
        name: &str,
        fill: impl FnOnce(&mut File) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.folder, name, flags, PRIVATE_FILE);
        let mut file =
            File::from(file.map_err(|errno| self.store.failure("create a file", errno))?);
        fill(&mut file)?;
        fsync(&file).map_err(|errno| self.store.failure("flush the object", errno))
    }

    /// Renames the folder to its place, by which it becomes an object.
    fn publish(mut self, place: &OwnedFd, name: &str) -> Result<(), StoreError> {
        let renamed = renameat(self.staging, self.name, place, name);
        if let Err(errno) = renamed
            && !self.is_there(place, name)
        {
            return match errno {
                Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR => Err(exists()),
                errno => Err(self.store.failure("rename the object to its place", errno)),
            };
        }
        self.kept = true;
        let flushed = self
            .store
            .flush(place)
            .and_then(|()| self.store.flush(self.staging));
        if flushed.is_err() {
            // The object is not durable, so it must not be visible.
            let _ = renameat(place, name, self.staging, self.name);
            self.kept = false;
        }
        flushed
    }

    /// Whether a rename that failed happened nevertheless: an NFS server whose answer was lost answers the retry with
    /// an error, because there is nothing left to rename.
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
    /// Removes a folder below `staging`. What cannot be removed now is left for [`Directory::left_behind`]: on NFS, a
    /// file that another process of this client has open keeps its folder alive.
    pub(crate) fn remove_staged(&self, staging: &OwnedFd, name: &str) {
        if let Ok(folder) = openat(staging, name, FOLDER, Mode::empty()) {
            let _ = unlinkat(&folder, "data", AtFlags::empty());
            let _ = unlinkat(&folder, "meta", AtFlags::empty());
        }
        let _ = unlinkat(staging, name, AtFlags::REMOVEDIR);
    }

    /// See [`cloudsync_store::Archive::delete`]. A rename removes the object; its files are deleted afterwards.
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
    StoreError::Exists("it was put by another archive, and is unchanged".to_owned())
}
