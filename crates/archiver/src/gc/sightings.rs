// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Records since when objects have been seen unreferenced: a text file for each volume, with a line `SECONDS KEY` for
//! each object, in seconds since the epoch.
//!
//! A run reads the previous run's file and writes a new one, which replaces it at the end. An object that is referenced
//! again is not in the new file, so its time starts over. Memory holds one batch of keys, never the whole file.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::exit::Error;
use crate::volume::folder;

const NAME: &str = "unreferenced";

/// The previous run's file, and the new one.
pub(super) struct Sightings {
    path: PathBuf,
    new: BufWriter<NamedTempFile>,
    /// The last key listed, to check that the store lists keys in order.
    last: Option<String>,
    in_order: bool,
}

impl Sightings {
    /// Opens the file in `folder`, which is created if it does not exist. `fresh`: what it has is out of date.
    pub(super) fn open(folder: &Path, fresh: bool) -> Result<Self, Error> {
        let path = folder.join(NAME);
        let open = || {
            folder::create(folder)?;
            if fresh && old(&path)?.is_some() {
                fs::remove_file(&path)?;
            }
            old(&path)?;
            NamedTempFile::new_in(folder)
        };
        let new = open().map_err(|error| failed(&path, &error))?;
        Ok(Self {
            path,
            new: BufWriter::new(new),
            last: None,
            in_order: true,
        })
    }

    /// When each of `keys` was first seen unreferenced; keys that were not are absent.
    pub(super) fn of(&self, keys: &[&str]) -> Result<HashMap<String, u64>, Error> {
        let wanted: HashSet<_> = keys.iter().copied().collect();
        let mut found = HashMap::new();
        each(&self.path, |seconds, key| {
            if wanted.contains(key) {
                found.insert(key.to_owned(), seconds);
            }
            Ok(())
        })
        .map_err(|error| failed(&self.path, &error))?;
        Ok(found)
    }

    /// Records that the store has listed `key`.
    pub(super) fn listed(&mut self, key: &str) {
        self.in_order &= self.last.as_deref().is_none_or(|last| last < key);
        self.last = Some(key.to_owned());
    }

    /// Records that `key` has been unreferenced since that time.
    pub(super) fn note(&mut self, seconds: u64, key: &str) -> Result<(), Error> {
        writeln!(self.new, "{seconds} {key}").map_err(|error| failed(&self.path, &error))
    }

    /// Replaces the previous run's file. If the listing was incomplete, the entries of keys after the last one listed
    /// are kept. If the store lists in no order, they are lost and their time starts over.
    pub(super) fn finish(mut self, whole: bool) -> Result<(), Error> {
        let path = self.path.clone();
        let write = || {
            if !whole && self.in_order {
                let last = self.last.take().unwrap_or_default();
                each(&path, |seconds, key| match key > last.as_str() {
                    true => writeln!(self.new, "{seconds} {key}"),
                    false => Ok(()),
                })?;
            }
            let new = self.new.into_inner();
            let new = new.map_err(io::IntoInnerError::into_error)?;
            new.as_file().sync_all()?;
            new.persist(&path)?;
            Ok(())
        };
        write().map_err(|error| failed(&path, &error))
    }
}

/// Calls `one` for each line of the previous run's file.
fn each(path: &Path, mut one: impl FnMut(u64, &str) -> io::Result<()>) -> io::Result<()> {
    let Some(file) = old(path)? else {
        return Ok(());
    };
    for line in BufReader::new(file).lines() {
        let line = line?;
        if let Some((seconds, key)) = parse(&line) {
            one(seconds, key)?;
        }
    }
    Ok(())
}

fn parse(line: &str) -> Option<(u64, &str)> {
    let (seconds, key) = line.split_once(' ')?;
    Some((seconds.parse().ok()?, key))
}

/// Opens the previous run's file; `None` if there is none.
fn old(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::Start(format!(
        "{}: {error}; gc needs this file: fix it, or give another folder with --state-dir",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(folder: &Path) -> String {
        fs::read_to_string(folder.join(NAME)).unwrap()
    }

    #[test]
    fn the_first_sighting_lasts_until_a_run_does_not_see_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Sightings::open(folder.path(), false).unwrap();
        first.note(5, "a").unwrap();
        first.note(6, "b").unwrap();
        first.finish(true).unwrap();
        let mut second = Sightings::open(folder.path(), false).unwrap();
        let known = second.of(&["b", "c"]).unwrap();
        assert_eq!(known, HashMap::from([("b".to_owned(), 6)]));
        second.note(6, "b").unwrap();
        second.finish(true).unwrap();
        assert_eq!(noted(folder.path()), "6 b\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_run_that_ends_early_keeps_what_it_had_not_reached() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), "1 a\n2 b\nnonsense\n3 c\n").unwrap();
        let mut run = Sightings::open(folder.path(), false).unwrap();
        run.listed("a");
        run.listed("b");
        run.note(2, "b").unwrap();
        run.finish(false).unwrap();
        assert_eq!(noted(folder.path()), "2 b\n3 c\n");
        let mut run = Sightings::open(folder.path(), false).unwrap();
        run.listed("b");
        run.listed("a");
        run.finish(false).unwrap();
        assert_eq!(noted(folder.path()), "");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let file = NamedTempFile::new().unwrap();
        let error = Sightings::open(&file.path().join("x"), false)
            .err()
            .unwrap();
        let text = error.to_string();
        assert!(text.contains(&file.path().display().to_string()), "{text}");
    }
}
