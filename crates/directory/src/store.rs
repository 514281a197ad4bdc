// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store: implements the two traits, and opens the folder.

#![forbid(unsafe_code)]

use std::ops::{ControlFlow, Range};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use cloudsync_store::{
    Archive, Listed, Metadata, Object, Options, Sink, Store, StoreError, Upload,
};
use rustix::fs::{CWD, Mode, OFlags, openat, stat};
use rustix::io::Errno;

use crate::settings::Settings;

/// A folder with objects. No descriptor is kept open, because a file system that is mounted again is a new one.
#[derive(Debug)]
pub struct Directory {
    pub(crate) settings: Settings,
}

impl Directory {
    /// Opens the folder. Fails if nothing is mounted at the mount point.
    pub(crate) fn root(&self) -> Result<OwnedFd, StoreError> {
        if let Some(point) = &self.settings.mounted {
            self.check_mounted(point)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(CWD, &self.settings.path, flags, Mode::empty()) {
            Ok(root) => Ok(root),
            Err(errno @ (Errno::NOENT | Errno::NOTDIR)) => {
                let path = self.settings.path.display();
                Err(StoreError::Unreachable(format!(
                    "cannot open folder {path}: {errno}; create it, or mount its file system"
                )))
            }
            Err(errno) => Err(self.failure("open the folder", errno)),
        }
    }

    fn check_mounted(&self, point: &Path) -> Result<(), StoreError> {
        let query =
            |path: &Path| stat(path).map_err(|errno| self.failure("check its mount point", errno));
        let (here, above) = (query(point)?, query(&point.join(".."))?);
        // The root directory is its own parent, and always mounted.
        let mounted = here.st_dev != above.st_dev || here.st_ino == above.st_ino;
        if mounted {
            return Ok(());
        }
        let point = point.display();
        Err(StoreError::Unreachable(format!(
            "nothing is mounted at {point}"
        )))
    }
}

impl Store for Directory {
    fn open(options: &Options) -> Result<Self, StoreError> {
        let settings = Settings::parse(options)?;
        Ok(Self { settings })
    }

    fn head(&self, key: &str) -> Result<Object, StoreError> {
        Ok(self.find(key)?.object)
    }

    fn fetch(
        &self,
        key: &str,
        object: &Object,
        range: Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError> {
        let found = self.find(key)?;
        if found.object.etag != object.etag || found.object.size != object.size {
            let is = |object: &Object| object.etag.clone().unwrap_or_default();
            let why = format!(
                "it was version {}, and is now {}",
                is(object),
                is(&found.object)
            );
            return Err(StoreError::Changed(why));
        }
        found.read(self, range, sink)
    }
}

impl Archive for Directory {
    fn put(&self, key: &str, upload: &Upload<'_>) -> Result<Object, StoreError> {
        self.put_object(key, upload)
    }

    fn describe(&self, key: &str) -> Result<(Object, Metadata), StoreError> {
        let found = self.find(key)?;
        Ok((found.object, found.kept))
    }

    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.walk(prefix, each)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.remove(key)
    }

    fn unfinished(
        &self,
        prefix: &str,
        age: Duration,
        remove: bool,
    ) -> Result<Vec<String>, StoreError> {
        self.left_behind(prefix, age, remove)
    }
}
