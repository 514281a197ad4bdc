// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The objects whose restores a run waits for, in a temporary file, so that memory does not grow with their number; and the
//! pauses between the rounds in which the store is asked.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use cloudsync_format::stores;

use super::Object;
use crate::interrupt::rest;

/// Objects to wait for.
#[derive(Debug)]
pub(super) struct Pending {
    file: BufWriter<File>,
    count: u64,
    bytes: u64,
}

impl Pending {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            file: BufWriter::new(tempfile::tempfile()?),
            count: 0,
            bytes: 0,
        })
    }

    /// Adds one. Neither keys nor paths have a NUL.
    pub(super) fn add(&mut self, object: &Object) -> io::Result<()> {
        let Object {
            path,
            store,
            key,
            bytes,
            ours,
        } = object;
        // In one piece: a full disk leaves no half of one among the others.
        let (ours, store) = (u8::from(*ours), stores::shown(store.as_deref()));
        let mut record = format!("{ours} {bytes} {store} {key}\0").into_bytes();
        record.extend_from_slice(path.as_os_str().as_bytes());
        record.push(0);
        self.file.write_all(&record)?;
        self.count += 1;
        self.bytes += bytes;
        Ok(())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Their number, and their bytes.
    pub(super) const fn total(&self) -> (u64, u64) {
        (self.count, self.bytes)
    }

    /// Calls `give` for each, until it returns false.
    pub(super) fn each(self, give: impl Fn(Object) -> bool) -> io::Result<()> {
        let mut file = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        let mut from = BufReader::new(file);
        let mut part = || {
            let mut part = Vec::new();
            from.read_until(0, &mut part)?;
            part.pop();
            io::Result::Ok(part)
        };
        for _ in 0..self.count {
            let (front, path) = (part()?, part()?);
            let front = String::from_utf8(front).map_err(io::Error::other)?;
            let mut words = front.splitn(4, ' ');
            let mut word = || words.next().ok_or(io::ErrorKind::UnexpectedEof);
            let object = Object {
                ours: word()? == "1",
                bytes: word()?.parse().map_err(io::Error::other)?,
                store: stores::parse(word()?).map_err(io::Error::other)?,
                key: word()?.to_owned(),
                path: PathBuf::from(OsString::from_vec(path)),
            };
            if !give(object) {
                break;
            }
        }
        Ok(())
    }
}

/// How often the store is asked: soon at first, for fast tiers, then seldom.
#[derive(Debug)]
pub(super) struct Pause(Duration);

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pause {
    /// Whether the run has just begun to wait: a store may take a moment to tell that a restore is under way.
    pub(super) fn has_just_begun(&self) -> bool {
        self.0 <= FIRST * 8
    }

    /// Waits; the next time twice as long. Returns false at once when `ends` does.
    pub(super) fn rest(&mut self, ends: &dyn Fn() -> bool) -> bool {
        let time = self.0;
        self.0 = (self.0 * 2).min(LONGEST);
        rest(time, ends)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn objects_are_read_as_they_were_added() {
        let object = |key: &str, path: &[u8], ours: bool| Object {
            path: PathBuf::from(OsString::from_vec(path.to_vec())),
            store: ours.then(|| "cold".to_owned()),
            key: key.to_owned(),
            bytes: 7,
            ours,
        };
        let all = [
            object("a b/c\n", b"x y\n\xff", true),
            object("", b"", false),
            object("k", b"p", true),
        ];
        let pending = || {
            let mut pending = Pending::new().unwrap();
            assert!(pending.is_empty());
            for object in &all {
                pending.add(object).unwrap();
            }
            assert_eq!(pending.total(), (3, 21));
            pending
        };
        let read = RefCell::new(Vec::new());
        let take = |object| {
            read.borrow_mut().push(object);
            true
        };
        pending().each(take).unwrap();
        assert_eq!(*read.borrow(), all);
        pending().each(|object| !take(object)).unwrap();
        assert_eq!(read.borrow().len(), 4);
    }

    #[test]
    fn a_pause_ends_with_the_run() {
        let mut pause = Pause::default();
        assert!(pause.has_just_begun());
        assert!(!pause.rest(&|| true));
        assert_eq!(pause.0, FIRST * 2);
        for _ in 0..20 {
            assert!(!pause.rest(&|| true));
        }
        assert!(pause.0 == LONGEST && !pause.has_just_begun());
    }
}
