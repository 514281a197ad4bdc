// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Looks at a whole volume, and writes the lines of a catalog.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use cloudsync_format::catalog::{Attributes, Base64, Line, Text, VERSION};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::Summary;
use crate::crawl::{Extent, Walked, is_gone, walk_extent};
use crate::interrupt::interrupted;
use crate::parallel::lock;
use crate::report::{Event, Progress, Screen};

/// The extended attributes that are kept: users' own, ACLs, and the pins that root has set.
const KEPT: [&str; 3] = [
    "system.posix_acl_access",
    "system.posix_acl_default",
    "trusted.cloudsync-policy",
];

/// A catalog that is being written.
pub(super) struct Writer<'a> {
    root: &'a Path,
    screen: &'a Screen,
    out: Mutex<GzEncoder<BufWriter<File>>>,
    summary: Mutex<Summary>,
    seen: Mutex<u64>,
    /// The file that is written cannot be.
    broken: Mutex<Option<io::Error>>,
}

impl<'a> Writer<'a> {
    /// Writes to `file` what is below `root`, in a mount.
    pub(super) fn new(root: &'a Path, screen: &'a Screen, file: File) -> Self {
        Self {
            root,
            screen,
            out: Mutex::new(GzEncoder::new(BufWriter::new(file), Compression::default())),
            summary: Mutex::new(Summary {
                event: "summary",
                ..Summary::default()
            }),
            seen: Mutex::new(0),
            broken: Mutex::new(None),
        }
    }

    /// Writes the whole catalog.
    pub(super) fn all(self, volume: &str, began: SystemTime) -> io::Result<Summary> {
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
                Ok(Some(line)) => {
                    self.count(&line);
                    self.write(&line)
                }
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

    fn count(&self, line: &Line) {
        let mut summary = lock(&self.summary);
        match line {
            Line::Folder { .. } => summary.folders += 1,
            Line::Link { .. } => summary.links += 1,
            _ => summary.files += 1,
        }
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
