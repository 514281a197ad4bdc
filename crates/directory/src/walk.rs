// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Lists objects and abandoned uploads. Keys with a common prefix are in different folders, so every listing reads them
//! all.

#![forbid(unsafe_code)]

use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use cloudsync_store::{Listed, StoreError};
use rustix::fs::{AtFlags, Dir, FileType, Mode, Stat, openat, statat};
use rustix::io::Errno;

use crate::found::FOLDER;
use crate::place::{self, LEADS_ON, OBJECTS, PLAIN, STAGING};
use crate::store::Directory;

/// The arguments of one listing.
struct Walk<'a> {
    store: &'a Directory,
    prefix: &'a str,
    each: &'a mut dyn FnMut(Listed) -> ControlFlow<()>,
}

/// Whether to continue; an error ends the listing.
type Step = Result<ControlFlow<()>, StoreError>;

impl Directory {
    /// See [`cloudsync_store::Archive::list`].
    pub(crate) fn walk(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let root = self.root()?;
        let mut walk = Walk {
            store: self,
            prefix,
            each,
        };
        if walk.objects(&root)?.is_continue()
            && let Some(plain) = self.folder(&root, PLAIN)?
        {
            let _ = walk.plain(&plain, "")?;
        }
        Ok(())
    }

    /// See [`cloudsync_store::Archive::unfinished`].
    pub(crate) fn left_behind(
        &self,
        prefix: &str,
        age: Duration,
        remove: bool,
    ) -> Result<Vec<String>, StoreError> {
        let root = self.root()?;
        let Some(staging) = self.folder(&root, STAGING)? else {
            return Ok(Vec::new());
        };
        let mut keys = Vec::new();
        for name in self.names(&staging)? {
            let Some(folder) = self.folder(&staging, &name)? else {
                continue;
            };
            // The last change: for a long upload, that of its last write.
            let seen = ["data", "meta", "."]
                .into_iter()
                .filter_map(|name| statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).ok())
                .map(|stat| modified(&stat))
                .max();
            let old = seen
                .and_then(|seen| seen.elapsed().ok())
                .is_some_and(|elapsed| elapsed >= age);
            // An incomplete description has no key. Such an upload matches every prefix.
            let key = match self.read_meta(&folder) {
                Ok(meta) => meta.map(|meta| meta.key),
                Err(StoreError::Corrupt(_)) => None,
                Err(error) => return Err(error),
            };
            let ours = key.as_deref().unwrap_or_default().starts_with(prefix);
            if !old || !ours {
                continue;
            }
            if remove {
                self.remove_staged(&staging, &name);
            }
            keys.extend(key);
        }
        Ok(keys)
    }

    /// Opens a folder; `None` if there is none.
    fn folder(&self, above: &OwnedFd, name: &str) -> Result<Option<OwnedFd>, StoreError> {
        match openat(above, name, FOLDER, Mode::empty()) {
            Ok(folder) => Ok(Some(folder)),
            // Also if it is not a folder, or was removed meanwhile.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(self.failure("open a folder", errno)),
        }
    }

    /// The names in a folder, without hidden ones, which are never ours.
    fn names(&self, folder: &OwnedFd) -> Result<Vec<String>, StoreError> {
        let wrong = |errno| self.failure("read a folder", errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(folder).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            match entry.file_name().to_str() {
                Ok(name) if !name.starts_with('.') => names.push(name.to_owned()),
                _ => {}
            }
        }
        Ok(names)
    }
}

impl Walk<'_> {
    fn objects(&mut self, root: &OwnedFd) -> Step {
        let Some(objects) = self.store.folder(root, OBJECTS)? else {
            return Ok(ControlFlow::Continue(()));
        };
        for first in self.store.names(&objects)? {
            let Some(first) = self.store.folder(&objects, &first)? else {
                continue;
            };
            for second in self.store.names(&first)? {
                let Some(shard) = self.store.folder(&first, &second)? else {
                    continue;
                };
                if self.shard(&shard, &mut Vec::new())?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Lists below `folder`, which `names` leads to from the shard.
    fn shard(&mut self, folder: &OwnedFd, names: &mut Vec<String>) -> Step {
        for name in self.store.names(folder)? {
            let leads_on = name.ends_with(LEADS_ON);
            names.push(name);
            let step = if leads_on {
                let below = names.last().map_or("", String::as_str);
                match self.store.folder(folder, below)? {
                    Some(below) => self.shard(&below, names)?,
                    None => ControlFlow::Continue(()),
                }
            } else {
                self.object(folder, names)?
            };
            names.pop();
            if step.is_break() {
                return Ok(step);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn object(&mut self, folder: &OwnedFd, names: &[String]) -> Step {
        let Some(key) = place::key(names).filter(|key| key.starts_with(self.prefix)) else {
            return Ok(ControlFlow::Continue(()));
        };
        let name = names.last().map_or("", String::as_str);
        self.show(folder, &format!("{name}/data"), key)
    }

    /// Lists below `folder`, which `above` leads to from the folder of plain files, with a `/` at its end.
    fn plain(&mut self, folder: &OwnedFd, above: &str) -> Step {
        for name in self.store.names(folder)? {
            let key = format!("{above}{name}");
            let below = format!("{key}/");
            // Skips folders in which nothing can match.
            let may_match = below.starts_with(self.prefix) || self.prefix.starts_with(&below);
            let step = if may_match && let Some(folder) = self.store.folder(folder, &name)? {
                self.plain(&folder, &below)?
            } else if key.starts_with(self.prefix) {
                self.show(folder, &name, key)?
            } else {
                ControlFlow::Continue(())
            };
            if step.is_break() {
                return Ok(step);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Passes an object to `each`.
    fn show(&mut self, folder: &OwnedFd, file: &str, key: String) -> Step {
        let stat = match statat(folder, file, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => stat,
            // Not an object, or removed meanwhile.
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => return Ok(ControlFlow::Continue(())),
            Err(errno) => return Err(self.store.failure("read an object's attributes", errno)),
        };
        Ok((self.each)(Listed {
            key,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: modified(&stat),
        }))
    }
}

fn modified(stat: &Stat) -> SystemTime {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
}
