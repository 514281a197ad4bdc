// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A complete store plugin in Rust: objects are files in a folder, and a key is a path below it.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use cloudsync_store::{Object, Options, Sink, Store, StoreError};

/// The store of one volume.
#[derive(Debug)]
pub struct Example {
    folder: PathBuf,
}

impl Example {
    /// Opens an object. Keys come from the volume, and must not lead out of the folder.
    fn file(&self, key: &str) -> Result<File, StoreError> {
        let inside = |part| matches!(part, Component::Normal(_));
        if !Path::new(key).components().all(inside) || !self.folder.join(key).is_file() {
            std::fs::read_dir(&self.folder)
                .map_err(|error| StoreError::Unreachable(error.to_string()))?;
            return Err(StoreError::Missing(key.to_owned()));
        }
        File::open(self.folder.join(key)).map_err(|error| StoreError::of_io(&error, key))
    }
}

/// Describes an object. Its etag changes whenever the file is written to or replaced.
fn describe(file: &File) -> Result<Object, StoreError> {
    let data = file
        .metadata()
        .map_err(|error| StoreError::of_io(&error, "metadata"))?;
    let etag = format!("{}-{}.{}", data.ino(), data.ctime(), data.ctime_nsec());
    Ok(Object {
        size: data.len(),
        etag: Some(etag),
        checksum: None,
    })
}

impl Store for Example {
    fn open(options: &Options) -> Result<Self, StoreError> {
        let path = options.settings("cloudsync-store-id", |list| Ok(list.text("path")))?;
        let folder = path
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .ok_or_else(|| {
                StoreError::Settings("option cloudsync-store-id: expected path=/folder".to_owned())
            })?;
        Ok(Self { folder })
    }

    fn head(&self, key: &str) -> Result<Object, StoreError> {
        describe(&self.file(key)?)
    }

    fn fetch(
        &self,
        key: &str,
        object: &Object,
        range: Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError> {
        let file = self.file(key)?;
        for at in range.clone().step_by(1 << 20) {
            let mut piece = vec![0; (range.end - at).min(1 << 20) as usize];
            let read = file.read_exact_at(&mut piece, at);
            if describe(&file)? != *object {
                return Err(StoreError::Changed(key.to_owned()));
            }
            read.map_err(|error| StoreError::of_io(&error, key))?;
            sink.write(&piece)?;
        }
        Ok(())
    }
}

cloudsync_store::export_store!(Example);
