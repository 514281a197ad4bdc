// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What an application does with files, by a FUSE mount or a program without one. Every operation opens the file
//! anew, as most programs do, and every change ends with fsync: only then has it happened.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloudsync_lab::{Mount, MountOptions, Volume, until};
use rustix::fs::{Advice, fadvise};

use crate::Answer;
use crate::day::{Errno, lock};

/// How long a client may take to start, and a worker waits for one that is being replaced.
const PATIENCE: Duration = Duration::from_secs(120);

/// How much is read at once.
const BLOCK: u64 = 256 << 10;

/// An application's operations. Paths are below the volume's root.
pub(crate) trait Client: Send {
    /// Up to `length` bytes; fewer at the end of the file.
    fn read(&mut self, path: &str, offset: u64, length: u64) -> io::Result<Vec<u8>>;
    /// Writes into the file.
    fn write(&mut self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Writes at its end (`O_APPEND`), which is at `size`.
    fn append(&mut self, path: &str, size: u64, bytes: &[u8]) -> io::Result<()>;
    /// Creates the file, or truncates it (`O_TRUNC`), and writes.
    fn replace(&mut self, path: &str, bytes: &[u8]) -> io::Result<()>;
    fn truncate(&mut self, path: &str, size: u64) -> io::Result<()>;
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&mut self, path: &str) -> io::Result<()>;
    /// Whether it may get `EACCES` for a file that another client has removed, replaced or renamed.
    fn is_refused_stale_files(&self) -> bool {
        false
    }
    /// For how long after a change by this client nobody else may use the file.
    fn rest(&self) -> Duration {
        Duration::ZERO
    }
    /// Whether the client was killed during or after the last operation.
    fn was_killed(&self) -> bool;
    /// What else than other clients the last operation may have got while something is wrong.
    fn may_get(&self) -> &'static [Errno] {
        &[]
    }
}

/// A FUSE client that can be killed and mounted again. Workers never hold it.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) name: &'static str,
    pages: Pages,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    mount: Option<Mount>,
    life: u64,
}

/// Whether the kernel caches the pages of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    Cached,
    /// Every read and write reaches the client as it is.
    Direct,
}

impl Slot {
    pub(crate) fn new(name: &'static str, pages: Pages, volume: &Volume) -> Answer<Self> {
        let mount = Some(volume.mount(&options(pages))?);
        let inner = Arc::new(Mutex::new(Inner { mount, life: 0 }));
        Ok(Self { name, pages, inner })
    }

    /// Asks the mount something, if there is one.
    pub(crate) fn ask<T>(&self, what: impl FnOnce(&Mount) -> T) -> Option<T> {
        lock(&self.inner).mount.as_ref().map(what)
    }

    pub(crate) fn life(&self) -> u64 {
        lock(&self.inner).life
    }

    /// The root and process id of the current mount.
    pub(crate) fn current(&self) -> Option<(PathBuf, u32, u64)> {
        let inner = lock(&self.inner);
        let mount = inner.mount.as_ref()?;
        Some((mount.path(), mount.pid(), inner.life))
    }

    /// Takes the mount out, to end it.
    pub(crate) fn take(&self) -> Option<Mount> {
        let mut inner = lock(&self.inner);
        inner.life += 1;
        inner.mount.take()
    }

    /// Kills the client and mounts the volume again.
    pub(crate) fn kill_and_mount(&self, volume: &Volume) -> Answer<()> {
        if let Some(mount) = self.take() {
            mount.kill9()?;
        }
        let mount = volume.mount(&options(self.pages))?;
        lock(&self.inner).mount = Some(mount);
        Ok(())
    }

    /// An application that uses this mount.
    pub(crate) fn application(&self) -> Mounted {
        Mounted {
            slot: self.clone(),
            life: 0,
        }
    }
}

fn options(pages: Pages) -> MountOptions {
    match pages {
        Pages::Cached => MountOptions::default(),
        Pages::Direct => MountOptions::default().arg("--direct-io-mode=enable"),
    }
}

/// An application on a FUSE mount.
#[derive(Debug)]
pub(crate) struct Mounted {
    slot: Slot,
    /// The client of the last operation.
    life: u64,
}

impl Mounted {
    fn path(&mut self, path: &str) -> io::Result<PathBuf> {
        let found = until(PATIENCE, "a mount", || self.slot.current());
        let (root, _, life) = found.map_err(|_| ErrorKind::NotConnected)?;
        self.life = life;
        Ok(root.join(path))
    }
}

impl Client for Mounted {
    fn read(&mut self, path: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let file = File::open(self.path(path)?)?;
        // The kernel may keep pages that another client has changed since for as long as it likes, with the feature off,
        // too. Without them it asks the client.
        fadvise(&file, 0, None, Advice::DontNeed)?;
        let mut bytes = vec![0; length as usize];
        let mut got = 0;
        while got < bytes.len() {
            let end = bytes.len().min(got + BLOCK as usize);
            match file.read_at(&mut bytes[got..end], offset + got as u64) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(got);
        Ok(bytes)
    }

    fn write(&mut self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = File::options().write(true).open(self.path(path)?)?;
        file.write_all_at(bytes, offset)?;
        file.sync_all()
    }

    fn append(&mut self, path: &str, _size: u64, bytes: &[u8]) -> io::Result<()> {
        use std::io::Write;
        let mut file = File::options().append(true).open(self.path(path)?)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn replace(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let file = File::create(self.path(path)?)?;
        file.write_all_at(bytes, 0)?;
        file.sync_all()
    }

    fn truncate(&mut self, path: &str, size: u64) -> io::Result<()> {
        let file = File::options().write(true).open(self.path(path)?)?;
        file.set_len(size)?;
        file.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        fs::rename(from, to)
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path)?)
    }

    fn was_killed(&self) -> bool {
        self.slot.life() != self.life
    }
}
