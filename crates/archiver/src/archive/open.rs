// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Opens files of our mount, with as few questions to the bricks as that takes.
//!
//! Nothing is cached in our mount, so every path costs a question or two for each of its folders. The folder that was
//! used last is kept, and a file is found once, without opening it: whether somebody has it open is asked before, and
//! of the same file, whatever happens to its name in between.
//!
//! No symbolic link is followed on the way: a user who puts one in a folder's place does not lead us out of the volume.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::outcome::{Problem, Why};

/// How many descriptors the bricks have for a file.
const OPEN: &str = "glusterfs.open-fd-count";
const FIND: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The folders of a mount.
#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
    last: Mutex<Option<(PathBuf, Arc<OwnedFd>)>>,
}

/// A file that is found and not yet open.
#[derive(Debug)]
pub(super) struct Place(OwnedFd);

impl Folders {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            last: Mutex::new(None),
        }
    }

    /// Finds what is at a path below the root now.
    pub(super) fn find(&self, path: &Path) -> io::Result<Place> {
        let above = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        if let Some(folder) = self.last(above)
            && let Ok(found) = openat(folder, name, FIND, Mode::empty())
        {
            return Ok(Place(found));
        }
        // Another folder, or one that is not there any more: what is at that path now?
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
            // Kernels before 5.6.
            Err(Errno::NOSYS) => openat(&root, above, flags, Mode::empty()),
            other => other,
        }
    }
}

impl Place {
    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }

    /// Opens it for reading, unless somebody else has it open.
    pub(super) fn open(&self) -> Result<File, Problem> {
        let path = self.path();
        let failed = |doing, error: io::Error| match error.raw_os_error() {
            // A symbolic link itself.
            Some(errno) if errno == Errno::LOOP.raw_os_error() => Problem::Left(Why::Special),
            _ => Problem::Io(doing, error),
        };
        let open = xattr::get_deref(&path, OPEN);
        let open = open.map_err(|error| failed("asking who has it open", error))?;
        if open.is_some_and(|count| !count.starts_with(b"0")) {
            return Err(Problem::Left(Why::Open));
        }
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = File::options().read(true).custom_flags(flags).open(&path);
        file.map_err(|error| failed("opening it", error))
    }
}
