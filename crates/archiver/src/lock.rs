// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One run for each brick at a time. The lock is the kernel's and goes with the process, however that ends.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::exit::Error;

const HOME: &str = "/run/cloudsync/locks";

/// Held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Of the brick or mount at `root`.
    pub(crate) fn take(root: &Path) -> Result<Self, Error> {
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
        // Names have an end at 255 bytes; the end of a path tells more than its beginning.
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
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(Error::Locked(format!(
                    "{}: another run is at work (process {})",
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
