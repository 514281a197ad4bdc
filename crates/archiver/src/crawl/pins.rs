// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The pins of files ([`cloudsync_format::pin`]): a file's own, or that of the nearest folder above it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cloudsync_format::pin::{OF_OWNERS, OF_ROOT, Pin};

use super::text;
use crate::cli::WhosePins;

/// Folders whose pins are remembered. A crawl visits a folder's files one after the other.
const REMEMBERED: usize = 10_000;

/// Finds the pins of the files below a root. Remembers those of folders, so it must not live longer than a run.
#[derive(Debug)]
pub(crate) struct Pins {
    root: PathBuf,
    names: Vec<&'static str>,
    folders: Mutex<HashMap<PathBuf, Option<Pin>>>,
}

impl Pins {
    pub(crate) fn new(root: &Path, whose: WhosePins) -> Self {
        let names: &[_] = match whose {
            WhosePins::Owners => &[OF_ROOT, OF_OWNERS],
            WhosePins::Root => &[OF_ROOT],
            WhosePins::None => &[],
        };
        Self {
            root: root.to_owned(),
            names: names.iter().map(|name| text(name)).collect(),
            folders: Mutex::default(),
        }
    }

    /// The pin of the file at `at`, which is below the root.
    pub(crate) fn of(&self, at: &Path) -> io::Result<Option<Pin>> {
        if self.names.is_empty() {
            return Ok(None);
        }
        match (read(at, &self.names)?, at.parent()) {
            (None, Some(folder)) => self.of_folder(folder),
            (own, _) => Ok(own),
        }
    }

    fn of_folder(&self, folder: &Path) -> io::Result<Option<Pin>> {
        if !folder.starts_with(&self.root) {
            return Ok(None);
        }
        let known = self.folders().get(folder).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let pin = match (read(folder, &self.names)?, folder.parent()) {
            (None, Some(above)) => self.of_folder(above)?,
            (own, _) => own,
        };
        let mut folders = self.folders();
        if folders.len() >= REMEMBERED {
            folders.clear();
        }
        folders.insert(folder.to_owned(), pin);
        Ok(pin)
    }

    fn folders(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Option<Pin>>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file's or folder's own pin: the first of these attributes that has one. What is not a pin is ignored: `pin` refuses
/// it.
pub(crate) fn read(at: &Path, names: &[&str]) -> io::Result<Option<Pin>> {
    let has: Vec<_> = xattr::list(at)?.collect();
    for name in names {
        if has.iter().any(|has| has == *name)
            && let Some(pin) = xattr::get(at, name)?.and_then(|value| Pin::parse(&value))
        {
            return Ok(Some(pin));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Users' attributes only: those of root need its rights.
    #[test]
    fn the_nearest_pin_counts() {
        let root = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let deep = root.path().join("project/raw/old");
        std::fs::create_dir_all(&deep).unwrap();
        let (file, other) = (deep.join("file"), root.path().join("other"));
        for path in [&file, &other] {
            std::fs::write(path, "x").unwrap();
        }
        let set = |path: &Path, pin: Pin| {
            xattr::set(path, text(OF_OWNERS), pin.text().as_bytes()).unwrap();
        };
        let of = |path: &Path| Pins::new(root.path(), WhosePins::Owners).of(path).unwrap();
        assert_eq!(of(&file), None);
        set(&root.path().join("project"), Pin::NeverArchive);
        assert_eq!(of(&file), Some(Pin::NeverArchive));
        assert_eq!(of(&other), None);
        set(&root.path().join("project/raw"), Pin::ArchiveSoon);
        assert_eq!(of(&file), Some(Pin::ArchiveSoon));
        set(&file, Pin::NeverArchive);
        assert_eq!(of(&file), Some(Pin::NeverArchive));
        for (whose, pin) in [(WhosePins::Root, None), (WhosePins::None, None)] {
            assert_eq!(Pins::new(root.path(), whose).of(&file).unwrap(), pin);
        }
    }
}
