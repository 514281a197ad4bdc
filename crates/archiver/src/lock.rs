// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Allows one run per brick at a time. The lock is a kernel file lock, released when the process ends, however it ends.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::exit::Error;

const HOME: &str = "/run/cloudsync/locks";

/// A held lock, released on drop.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the brick, mount or folder at `root`, without waiting. Fails with [`Error::Locked`] if it is
    /// held.
    pub(crate) fn take(root: &Path) -> Result<Self, Error> {
        Self::with(root, File::try_lock)
    }

    /// As [`take`](Self::take), but others may share it.
    pub(crate) fn share(root: &Path) -> Result<Self, Error> {
        Self::with(root, File::try_lock_shared)
    }

    fn with(root: &Path, how: fn(&File) -> Result<(), TryLockError>) -> Result<Self, Error> {
        let flat: String = root
            .to_string_lossy()
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                    c
                } else {
                    '='
                }
            })
            .collect();
        // File names are limited to 255 bytes, and the end of a path is the most distinctive part.
        let tail = flat.char_indices().rev().nth(199).map_or(0, |(at, _)| at);
        let path = format!("{HOME}/{}", &flat[tail..]);
        let failed = |error: std::io::Error| Error::start(&path, error);
        fs::create_dir_all(HOME).map_err(failed)?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match how(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(Error::Locked(format!(
                    "{}: another run holds the lock (process {})",
                    root.display(),
                    pid.trim()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(failed)?;
        Ok(Self { _file: file })
    }
}
