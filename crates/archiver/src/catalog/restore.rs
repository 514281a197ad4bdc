// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Brings back what a catalog has, after the files of a lost volume were recreated.
//!
//! First folders; then the attributes of folders and files, because a folder's default ACL is that of what is created in it;
//! then other names of files; symbolic links last, so that no path of the catalog leads through one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use cloudsync_format::catalog::{Attributes, Line, Text, VERSION};
use cloudsync_store::{Archive, Sink, StoreError};
use flate2::read::GzDecoder;
use serde::Serialize;

use super::{keys, time_of};
use crate::exit::Error;
use crate::interrupt::interrupted;
use crate::report::{Event, Screen};
use crate::volume::is_within;

/// What was brought back from a catalog.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Restored {
    /// When it was made.
    pub(crate) time: String,
    pub(crate) folders: u64,
    pub(crate) links: u64,
    /// Names of files that have several.
    pub(crate) names: u64,
    /// Files whose extended attributes were set.
    pub(crate) attributes: u64,
    pub(crate) failed: u64,
}

/// Applies the latest catalog of the volume `from` to the volume whose root is `root`; `None` if there is none. In a dry run,
/// it is only read, and nothing is counted.
pub(crate) fn restore(
    root: &Path,
    store: &dyn Archive,
    from: &str,
    dry_run: bool,
    screen: &Screen,
) -> Result<Option<Restored>, Error> {
    let place = |error: StoreError| Error::start("the catalog", error);
    let Some(key) = keys(store, from).map_err(place)?.pop() else {
        return Ok(None);
    };
    let failed = |error: io::Error| Error::start(&key, error);
    let mut file = tempfile::tempfile().map_err(failed)?;
    let object = store.head(&key).map_err(place)?;
    store
        .fetch(&key, &object, 0..object.size, &mut Into(&mut file))
        .map_err(place)?;
    let mut applying = Applying {
        root,
        screen,
        names: BTreeMap::new(),
        restored: Restored {
            time: time_of(&key),
            ..Restored::default()
        },
    };
    // Checks it before anything is done.
    each(&mut file, from, &mut |_| ()).map_err(failed)?;
    if dry_run {
        return Ok(Some(applying.restored));
    }
    each(&mut file, from, &mut |line| applying.create(line)).map_err(failed)?;
    each(&mut file, from, &mut |line| applying.set(line)).map_err(failed)?;
    applying.other_names();
    each(&mut file, from, &mut |line| applying.link(line)).map_err(failed)?;
    Ok(Some(applying.restored))
}

struct Into<'a>(&'a mut File);

impl Sink for Into<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let written = self.0.write_all(bytes);
        written.map_err(|error| StoreError::Other(format!("the catalog's copy: {error}")))
    }

    fn cancelled(&self) -> bool {
        interrupted()
    }
}

/// Calls `take` for each line between the first and the last, which must be there.
fn each(file: &mut File, from: &str, take: &mut dyn FnMut(Line)) -> io::Result<()> {
    let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
    file.rewind()?;
    let mut lines = BufReader::new(GzDecoder::new(BufReader::new(file))).lines();
    let mut next = || -> io::Result<Line> {
        let line = lines.next().ok_or_else(|| wrong("it is not complete"))??;
        serde_json::from_str(&line).map_err(|error| wrong(&format!("not a catalog: {error}")))
    };
    match next()? {
        Line::Catalog { version, .. } if version > VERSION => {
            return Err(wrong("its format is newer than this version of cloudsync"));
        }
        Line::Catalog { volume, .. } if volume == from => {}
        _ => return Err(wrong("not the catalog of that volume")),
    }
    let mut count = 0;
    loop {
        if interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match next()? {
            Line::End { lines } if lines == count => return Ok(()),
            Line::End { .. } => return Err(wrong("lines are missing")),
            line => take(line),
        }
        count += 1;
    }
}

struct Applying<'a> {
    root: &'a Path,
    screen: &'a Screen,
    /// The paths of files with several names, by gfid.
    names: BTreeMap<String, Vec<PathBuf>>,
    restored: Restored,
}

impl Applying<'_> {
    fn failed(&mut self, path: &Path, error: &io::Error) {
        self.restored.failed += 1;
        let event = Event::new("failed", path).why(&error.to_string());
        self.screen.failure(&event);
    }

    /// The path of the new volume. Rejects paths that lead out of it.
    fn at(&self, path: &Text) -> io::Result<PathBuf> {
        let path = of(path);
        match is_within(path) {
            true => Ok(self.root.join(path)),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the catalog's path is not valid: {}", path.display()),
            )),
        }
    }

    fn create(&mut self, line: Line) {
        let Line::Folder { path, .. } = line else {
            return;
        };
        let created = self.at(&path).and_then(fs::create_dir_all);
        if let Err(error) = created {
            self.failed(of(&path), &error);
        }
    }

    fn set(&mut self, line: Line) {
        let (path, done) = match &line {
            Line::Folder {
                path,
                mode,
                uid,
                gid,
                attributes,
            } => (path, self.folder(path, *mode, (*uid, *gid), attributes)),
            Line::File {
                path,
                gfid,
                attributes,
            } => (path, self.file(path, gfid.as_deref(), attributes)),
            _ => return,
        };
        if let Err(error) = done {
            self.failed(of(path), &error);
        }
    }

    fn folder(
        &mut self,
        path: &Text,
        mode: u32,
        owner: (u32, u32),
        attributes: &Attributes,
    ) -> io::Result<()> {
        let at = self.at(path)?;
        chown(&at, Some(owner.0), Some(owner.1))?;
        set_attributes(&at, attributes)?;
        // Last: an ACL changes the mode.
        fs::set_permissions(&at, fs::Permissions::from_mode(mode))?;
        self.restored.folders += 1;
        Ok(())
    }

    fn file(&mut self, path: &Text, gfid: Option<&str>, attributes: &Attributes) -> io::Result<()> {
        let at = self.at(path)?;
        if let Some(gfid) = gfid {
            let names = self.names.entry(gfid.to_owned()).or_default();
            names.push(at.clone());
        }
        // A file that was never archived is not there.
        if attributes.is_empty() || !is_file(&at) {
            return Ok(());
        }
        set_attributes(&at, attributes)?;
        self.restored.attributes += 1;
        Ok(())
    }

    /// Gives files their other names. A file is there by the one with which it was archived.
    fn other_names(&mut self) {
        for names in std::mem::take(&mut self.names).into_values() {
            let Some(there) = names.iter().find(|name| is_file(name)) else {
                continue;
            };
            for name in names.iter().filter(|name| *name != there) {
                if name.symlink_metadata().is_ok() {
                    continue;
                }
                match fs::hard_link(there, name) {
                    Ok(()) => self.restored.names += 1,
                    Err(error) => self.failed(name, &error),
                }
            }
        }
    }

    fn link(&mut self, line: Line) {
        let Line::Link { path, to, uid, gid } = line else {
            return;
        };
        if let Err(error) = self.make_link(&path, &to, (uid, gid)) {
            self.failed(of(&path), &error);
        }
    }

    fn make_link(&mut self, path: &Text, to: &Text, owner: (u32, u32)) -> io::Result<()> {
        let at = self.at(path)?;
        let to = of(to);
        if at.read_link().is_ok_and(|before| before == to) {
            return Ok(());
        }
        symlink(to, &at)?;
        lchown(&at, Some(owner.0), Some(owner.1))?;
        self.restored.links += 1;
        Ok(())
    }
}

fn of(text: &Text) -> &Path {
    Path::new(OsStr::from_bytes(text.bytes()))
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|data| data.is_file())
}

fn set_attributes(at: &Path, attributes: &Attributes) -> io::Result<()> {
    attributes
        .iter()
        .try_for_each(|(name, value)| xattr::set(at, name, &value.0))
}
