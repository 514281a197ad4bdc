// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync catalog`: stores what the objects of a volume do not say ([`cloudsync_format::catalog`]), so that `rebuild` can
//! bring it back.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use cloudsync_format::catalog::{Attributes, Base64, FOLDER, Line, SUFFIX, Text, VERSION};
use cloudsync_store::checksum::Algorithm;
use cloudsync_store::{Archive, Checksum, Metadata, Source, StoreError, Upload};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use crate::archive::{moment_of, stamp};
use crate::cli::{CatalogArgs, OutputFlags};
use crate::crawl::{Extent, Walked, is_gone, walk_extent};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::parallel::lock;
use crate::remote;
use crate::report::{Event, Progress, Screen, human};
use crate::volume::Target;
use crate::volume::mount::Mount;

mod restore;

pub(crate) use restore::{Restored, restore};

/// The extended attributes that are kept: users' own, ACLs, and the pins that root has set.
const KEPT: [&str; 3] = [
    "system.posix_acl_access",
    "system.posix_acl_default",
    "trusted.cloudsync-policy",
];

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

/// A catalog that is being written.
struct Writer<'a> {
    root: &'a Path,
    screen: &'a Screen,
    out: Mutex<GzEncoder<BufWriter<File>>>,
    summary: Mutex<Summary>,
    seen: Mutex<u64>,
    /// The file that is written cannot be.
    broken: Mutex<Option<io::Error>>,
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
    let out = BufWriter::new(file.try_clone().map_err(failed)?);
    let writer = Writer {
        root: mount.root(),
        screen,
        out: Mutex::new(GzEncoder::new(out, Compression::default())),
        summary: Mutex::new(Summary {
            event: "summary",
            ..Summary::default()
        }),
        seen: Mutex::new(0),
        broken: Mutex::new(None),
    };
    let began = SystemTime::now();
    let mut summary = writer.all(&volume.id, began).map_err(failed)?;
    let key = format!(
        "{}/{FOLDER}/{}-{:08x}{SUFFIX}",
        volume.id,
        stamp(began),
        fastrand::u32(..)
    );
    let place = |error: StoreError| Error::start(&key, error);
    let size = file.metadata().map_err(failed)?.len();
    let upload = Upload {
        size,
        checksum: checksum(&file, size).map_err(failed)?,
        metadata: &Metadata::new(),
        source: &Bytes(&file),
        rate: None,
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

struct Bytes<'a>(&'a File);

impl Source for Bytes<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
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

impl Writer<'_> {
    /// Writes the whole catalog.
    fn all(self, volume: &str, began: SystemTime) -> io::Result<Summary> {
        self.write(&Line::Catalog {
            version: VERSION,
            volume: volume.to_owned(),
            time: humantime::format_rfc3339_seconds(began).to_string(),
        })?;
        let extent = Extent::UsersFiles { root: self.root };
        walk_extent(self.root, extent, &|walked| {
            let (path, line) = match walked {
                Walked::File(path) => (path, self.file(path)),
                Walked::Folder(path) => (path, self.folder(path)),
                Walked::Link(path) => (path, self.link(path)),
                Walked::Gone => return !interrupted(),
                Walked::Failed(why) => {
                    self.failed(self.root, why);
                    return !interrupted();
                }
            };
            let written = match line {
                Ok(Some(line)) => self.count(&line).and_then(|()| self.write(&line)),
                Ok(None) => Ok(()),
                Err(error) if is_gone(&error) => Ok(()),
                Err(error) => {
                    self.failed(path, &error.to_string());
                    Ok(())
                }
            };
            self.show();
            let broken = written.err();
            let goes_on = broken.is_none() && !interrupted();
            if broken.is_some() {
                *lock(&self.broken) = broken;
            }
            goes_on
        });
        if let Some(error) = lock(&self.broken).take() {
            return Err(error);
        }
        if interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let lines = self.lines();
        self.write(&Line::End { lines })?;
        let out = self
            .out
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        out.finish()?.flush()?;
        Ok(self
            .summary
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner))
    }

    fn lines(&self) -> u64 {
        let summary = lock(&self.summary);
        summary.folders + summary.links + summary.files
    }

    #[allow(clippy::unnecessary_wraps, reason = "a step of a chain")]
    fn count(&self, line: &Line) -> io::Result<()> {
        let mut summary = lock(&self.summary);
        match line {
            Line::Folder { .. } => summary.folders += 1,
            Line::Link { .. } => summary.links += 1,
            _ => summary.files += 1,
        }
        Ok(())
    }

    fn write(&self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        lock(&self.out).write_all(&text)
    }

    fn failed(&self, path: &Path, why: &str) {
        lock(&self.summary).failed += 1;
        self.screen.failure(&Event::new("failed", path).why(why));
    }

    fn show(&self) {
        let mut seen = lock(&self.seen);
        *seen += 1;
        let seen = *seen;
        self.screen.looking(|| Progress {
            seen,
            done: self.lines(),
            failed: lock(&self.summary).failed,
        });
    }

    /// The path from the root of the volume.
    fn text(&self, path: &Path) -> Text {
        let below = path.strip_prefix(self.root).unwrap_or(path);
        Text::from(below.as_os_str().as_bytes())
    }

    fn folder(&self, path: &Path) -> io::Result<Option<Line>> {
        let data = path.symlink_metadata()?;
        Ok(Some(Line::Folder {
            path: self.text(path),
            mode: data.mode() & 0o7777,
            uid: data.uid(),
            gid: data.gid(),
            attributes: attributes(path)?,
        }))
    }

    fn link(&self, path: &Path) -> io::Result<Option<Line>> {
        let data = path.symlink_metadata()?;
        Ok(Some(Line::Link {
            path: self.text(path),
            to: Text::from(path.read_link()?.as_os_str().as_bytes()),
            uid: data.uid(),
            gid: data.gid(),
        }))
    }

    fn file(&self, path: &Path) -> io::Result<Option<Line>> {
        let data = path.symlink_metadata()?;
        let attributes = attributes(path)?;
        let gfid = match data.nlink() {
            0 | 1 => None,
            _ => xattr::get(path, "glusterfs.gfid.string")?,
        };
        if gfid.is_none() && attributes.is_empty() {
            return Ok(None);
        }
        Ok(Some(Line::File {
            path: self.text(path),
            gfid: gfid.map(|gfid| String::from_utf8_lossy(&gfid).into_owned()),
            attributes,
        }))
    }
}

/// The extended attributes that are kept.
fn attributes(path: &Path) -> io::Result<Attributes> {
    let mut all = Attributes::new();
    for name in xattr::list(path)? {
        let Some(name) = name.to_str() else { continue };
        if !name.starts_with("user.") && !KEPT.contains(&name) {
            continue;
        }
        // It may be gone meanwhile.
        if let Some(value) = xattr::get(path, name)? {
            all.insert(name.to_owned(), Base64(value));
        }
    }
    Ok(all)
}
