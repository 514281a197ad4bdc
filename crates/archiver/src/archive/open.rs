// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Opens files of our mount with as few round trips to the bricks as possible.
//!
//! Our mount caches nothing, so every path costs a lookup or two per folder. The folder used last is therefore kept
//! open. A file is looked up once, without opening it, so that the check for other users and the open refer to the same
//! file, even if it is renamed in between.
//!
//! Symbolic links are not followed: a user who replaces a folder by one cannot lead the archiver out of the volume.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::outcome::{Problem, Why};

/// GlusterFS's virtual attribute: the number of descriptors that the bricks have open for a file.
const OPEN: &str = "glusterfs.open-fd-count";
const FIND: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The folders of a mount; keeps the one used last.
#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
    last: Mutex<Option<(PathBuf, Arc<OwnedFd>)>>,
}

/// A file that has been found but not opened.
#[derive(Debug)]
pub(super) struct Place(OwnedFd);

impl Folders {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            last: Mutex::new(None),
        }
    }

    /// Finds the file at a path below the root.
    pub(super) fn find(&self, path: &Path) -> io::Result<Place> {
        let above = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        if let Some(folder) = self.last(above)
            && let Ok(found) = openat(folder, name, FIND, Mode::empty())
        {
            return Ok(Place(found));
        }
        // Another folder, or one that no longer exists: resolve the path anew.
        let folder = Arc::new(self.folder(above)?);
        let found = openat(&folder, name, FIND, Mode::empty())?;
        *self.slot() = Some((above.to_owned(), folder));
        Ok(Place(found))
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<(PathBuf, Arc<OwnedFd>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self, above: &Path) -> Option<Arc<OwnedFd>> {
        let slot = self.slot();
        let (path, folder) = slot.as_ref()?;
        (path == above).then(|| Arc::clone(folder))
    }

    fn folder(&self, above: &Path) -> Result<OwnedFd, Errno> {
        let flags = FIND | OFlags::DIRECTORY;
        let root = openat(CWD, &self.root, flags, Mode::empty())?;
        if above.as_os_str().is_empty() {
            return Ok(root);
        }
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match openat2(&root, above, flags, Mode::empty(), within) {
            // Kernels before 5.6 have no `openat2`.
            Err(Errno::NOSYS) => openat(&root, above, flags, Mode::empty()),
            other => other,
        }
    }
}

impl Place {
    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }

    /// Opens the file for reading, unless another process has it open.
    pub(super) fn open(&self) -> Result<File, Problem> {
        let path = self.path();
        let failed = |doing, error: io::Error| match error.raw_os_error() {
            // The file itself is a symbolic link.
            Some(errno) if errno == Errno::LOOP.raw_os_error() => Problem::Left(Why::Special),
            _ => Problem::Io(doing, error),
        };
        let open = xattr::get_deref(&path, OPEN);
        let open = open.map_err(|error| failed("checking whether it is open", error))?;
        if open.is_some_and(|count| !count.starts_with(b"0")) {
            return Err(Problem::Left(Why::Open));
        }
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = File::options().read(true).custom_flags(flags).open(&path);
        file.map_err(|error| failed("opening it", error))
    }
}
