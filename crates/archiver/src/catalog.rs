// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync catalog`: stores what the objects of a volume do not say ([`cloudsync_format::catalog`]), so that `rebuild` can
//! bring it back.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::time::SystemTime;

use cloudsync_format::catalog::{FOLDER, SUFFIX};
use cloudsync_store::checksum::Algorithm;
use cloudsync_store::{Archive, Checksum, Metadata, Source, StoreError, Upload};
use serde::Serialize;

use crate::archive::{moment_of, unique_id};
use crate::cli::{CatalogArgs, OutputFlags};
use crate::exit::{Ended, Error};
use crate::remote;
use crate::report::{Screen, human};
use crate::volume::Target;
use crate::volume::mount::Mount;

mod restore;
mod writer;

pub(crate) use restore::{Restored, restore};
use writer::Writer;

/// The result of a run. The field names are the keys of the JSON output.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    event: &'static str,
    key: String,
    bytes: u64,
    folders: u64,
    links: u64,
    /// Files that have extended attributes, or several names.
    files: u64,
    failed: u64,
    /// Older catalogs that were removed.
    removed: u64,
}

/// Runs the command and prints its summary.
pub(crate) fn command(args: &CatalogArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output).about("entries", "kept");
    let (summary, ended) = run(args, &screen)?;
    screen.summary(&summary.to_string(), &summary);
    Ok(ended)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} folders, {} links, {} files with attributes or several names; {} failed; {} as {}; {} older catalogs \
             removed",
            self.folders,
            self.links,
            self.files,
            self.failed,
            human(self.bytes),
            self.key,
            self.removed,
        )
    }
}

/// Stores a catalog of the volume, and removes older ones.
pub(crate) fn run(args: &CatalogArgs, screen: &Screen) -> Result<(Summary, Ended), Error> {
    let volume = Target::find(&args.target)?.volume;
    let store = remote::open(&volume, &args.store)?;
    let mount = Mount::new(&volume)?;
    let failed = |error: io::Error| Error::start("the catalog", error);
    let file = tempfile::tempfile().map_err(failed)?;
    let began = SystemTime::now();
    let copy = file.try_clone().map_err(failed)?;
    let writer = Writer::new(mount.root(), screen, copy);
    let mut summary = writer.all(&volume.id, began).map_err(failed)?;
    let key = format!("{}/{FOLDER}/{}{SUFFIX}", volume.id, unique_id(began));
    let place = |error: StoreError| Error::start(&key, error);
    let size = file.metadata().map_err(failed)?.len();
    let upload = Upload {
        size,
        checksum: checksum(&file, size).map_err(failed)?,
        metadata: &Metadata::new(),
        source: &file,
        rate: None,
        resumable: true,
    };
    store.put(&key, &upload).map_err(place)?;
    summary.bytes = size;
    summary.key.clone_from(&key);
    // One in which something is missing replaces none.
    if summary.failed == 0 {
        let all = keys(store.as_ref(), &volume.id).map_err(place)?;
        let old = all.len().saturating_sub(args.keep.into());
        for key in &all[..old] {
            store.delete(key).map_err(place)?;
            summary.removed += 1;
        }
    }
    let ended = Ended::of(summary.failed > 0);
    Ok((summary, ended))
}

/// The keys of a volume's catalogs, the oldest first.
fn keys(store: &dyn Archive, volume: &str) -> Result<Vec<String>, StoreError> {
    let mut keys = Vec::new();
    store.list(&format!("{volume}/{FOLDER}/"), &mut |object| {
        if object.key.ends_with(SUFFIX) {
            keys.push(object.key);
        }
        ControlFlow::Continue(())
    })?;
    keys.sort();
    Ok(keys)
}

/// When a catalog was begun, for people.
fn time_of(key: &str) -> String {
    let name = key.rsplit('/').next().unwrap_or_default();
    moment_of(name).unwrap_or_else(|| name.to_owned())
}

fn checksum(file: &File, size: u64) -> io::Result<Checksum> {
    let mut computing = Algorithm::Crc64Nvme.compute();
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < size {
        let piece = usize::try_from(size - offset).unwrap_or(usize::MAX);
        let piece = piece.min(buffer.len());
        file.read_exact_at(&mut buffer[..piece], offset)?;
        computing.update(&buffer[..piece]);
        offset += piece as u64;
    }
    Ok(computing.finish())
}
