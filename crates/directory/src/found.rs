// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! An object that exists. It is opened once, so that all reads are of the version that was opened, even if the object
//! is removed or replaced meanwhile.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use cloudsync_store::{Metadata, Object, Sink, StoreError};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

use crate::failure::{errno, failure};
use crate::meta::Meta;
use crate::place::{self, PLAIN};
use crate::store::Directory;

/// Size of a read in bytes: one request to an NFS server.
const PIECE: usize = 1 << 20;
/// Limit for reading a description; larger ones are not ours.
const LARGEST_META: u64 = 1 << 20;

/// An open object.
pub(crate) struct Found {
    pub(crate) object: Object,
    pub(crate) kept: Metadata,
    data: File,
    /// The attributes of a file that was put there manually, which may change while it is read; `None` for an archived
    /// object.
    stamp: Option<String>,
}

impl Directory {
    /// Opens the object `key`: an archived one, or else a file that was put there manually.
    pub(crate) fn find(&self, key: &str) -> Result<Found, StoreError> {
        let root = self.root()?;
        let found = match self.find_object(&root, key)? {
            Some(found) => Some(found),
            None => self.find_plain(&root, key)?,
        };
        found.ok_or_else(|| {
            StoreError::Missing(format!("not in folder {}", self.settings.path.display()))
        })
    }

    fn find_object(&self, root: &OwnedFd, key: &str) -> Result<Option<Found>, StoreError> {
        let folder = match openat(root, place::folders(key)?.join("/"), FOLDER, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.failure("open the object", errno)),
        };
        let Some(meta) = self.read_meta(&folder)? else {
            // The object is being removed.
            return Ok(None);
        };
        if meta.key != key {
            let why = format!("its description is that of object {:?}", meta.key);
            return Err(StoreError::Corrupt(why));
        }
        let data = match openat(&folder, "data", FILE, Mode::empty()) {
            Ok(data) => File::from(data),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.failure("open the object", errno)),
        };
        let stat =
            fstat(&data).map_err(|errno| self.failure("read the object's attributes", errno))?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size != meta.size {
            let why = format!(
                "it has {size} bytes, but its description says {}",
                meta.size
            );
            return Err(StoreError::Corrupt(why));
        }
        Ok(Some(Found {
            object: Object {
                size,
                etag: Some(meta.etag),
                checksum: Some(meta.checksum),
            },
            kept: meta.kept,
            data,
            stamp: None,
        }))
    }

    /// Reads the description in an object's folder; `None` if there is none.
    pub(crate) fn read_meta(&self, folder: impl AsFd) -> Result<Option<Meta>, StoreError> {
        let file = match openat(folder, "meta", FILE, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.failure("open the object's description", errno)),
        };
        let mut text = String::new();
        let read = file.take(LARGEST_META).read_to_string(&mut text);
        if let Err(error) = read
            && error.kind() != std::io::ErrorKind::InvalidData
        {
            return Err(self.failure("read the object's description", errno(&error)));
        }
        let meta = Meta::parse(&text);
        meta.map(Some).ok_or_else(|| {
            StoreError::Corrupt("its description is damaged or of a newer format".to_owned())
        })
    }

    fn find_plain(&self, root: &OwnedFd, key: &str) -> Result<Option<Found>, StoreError> {
        let Some((names, file)) = place::plain(key).and_then(|names| {
            let (file, names) = names
                .split_last()
                .map(|(file, names)| (*file, names.to_vec()))?;
            Some((names, file))
        }) else {
            return Ok(None);
        };
        // One name at a time, because a symbolic link on the way could lead out of the folder.
        let none =
            |errno| [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::NAMETOOLONG].contains(&errno);
        let mut folder = match openat(root, PLAIN, FOLDER, Mode::empty()) {
            Ok(folder) => folder,
            Err(errno) if none(errno) => return Ok(None),
            Err(errno) => return Err(self.failure("open the object", errno)),
        };
        for name in names {
            folder = match openat(&folder, name, FOLDER, Mode::empty()) {
                Ok(folder) => folder,
                Err(errno) if none(errno) => return Ok(None),
                Err(errno) => return Err(self.failure("open the object", errno)),
            };
        }
        let data = match openat(&folder, file, FILE | OFlags::NONBLOCK, Mode::empty()) {
            Ok(data) => File::from(data),
            Err(errno) if none(errno) || errno == Errno::NXIO => return Ok(None),
            Err(errno) => return Err(self.failure("open the object", errno)),
        };
        let stat =
            fstat(&data).map_err(|errno| self.failure("read the object's attributes", errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let stamp = stamp(&stat);
        Ok(Some(Found {
            object: Object {
                size: u64::try_from(stat.st_size).unwrap_or(0),
                etag: Some(stamp.clone()),
                checksum: None,
            },
            kept: Metadata::new(),
            data,
            stamp: Some(stamp),
        }))
    }

    pub(crate) fn failure(&self, what: &str, errno: Errno) -> StoreError {
        failure(what, &self.settings.path, errno)
    }
}

pub(crate) const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A text that differs after the file was changed or replaced. The mtime alone would not do, because a copy can keep
/// it.
fn stamp(stat: &Stat) -> String {
    format!(
        "{}-{}.{:09}-{}.{:09}",
        stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec
    )
}

impl Found {
    /// Writes the bytes `range` to `sink`.
    pub(crate) fn read(
        &self,
        store: &Directory,
        range: Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError> {
        let mut at = range.start;
        let length = usize::try_from(range.end - range.start).unwrap_or(PIECE);
        let mut buffer = vec![0; length.min(PIECE)];
        while at < range.end {
            let wanted = usize::try_from(range.end - at).map_or(PIECE, |left| left.min(PIECE));
            let read = match self.data.read_at(&mut buffer[..wanted], at) {
                Ok(0) => {
                    let why = format!("it ends at byte {at}, but had {} bytes", self.object.size);
                    return Err(StoreError::Changed(why));
                }
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                // Removed by another client of the same server.
                Err(error) if errno(&error) == Errno::STALE => {
                    return Err(StoreError::Changed(
                        "it was removed while it was read".to_owned(),
                    ));
                }
                Err(error) => return Err(store.failure("read the object", errno(&error))),
            };
            // Before the bytes are passed on, because they must not be of a changed file.
            self.check(store)?;
            sink.write(&buffer[..read])?;
            at += read as u64;
        }
        Ok(())
    }

    /// Fails if a file that was put there manually has changed since it was opened.
    fn check(&self, store: &Directory) -> Result<(), StoreError> {
        let Some(before) = &self.stamp else {
            return Ok(());
        };
        let stat = fstat(&self.data)
            .map_err(|errno| store.failure("read the object's attributes", errno))?;
        let now = stamp(&stat);
        if now == *before {
            return Ok(());
        }
        Err(StoreError::Changed(format!(
            "it was version {before}, and is now {now}"
        )))
    }
}
