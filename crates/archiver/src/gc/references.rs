// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Which of some keys a file names: any file, whatever its gfid. A copy that carries another file's marks, a brick that
//! was restored, a snapshot: each may be the last to need an object.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use cloudsync_format::xattr as names;

use crate::crawl::{Extent, Walked, is_gone, kept, show, text, walk_extent};
use crate::exit::Error;
use crate::interrupt::interrupted;
use crate::volume::Volume;
use crate::volume::mount::Mount;

/// How often to crawl a mount in which folders are being moved.
const ATTEMPTS: usize = 5;

/// Where files are that may name an object.
pub(super) struct Roots {
    /// All bricks of the volume, if each of them is on this host.
    bricks: Option<Vec<PathBuf>>,
    volume: Volume,
    mount: PathBuf,
    also: Vec<PathBuf>,
}

impl Roots {
    /// Those of the volume and `also`, each of which must be readable and have a file.
    pub(super) fn find(volume: &Volume, mount: &Mount, also: &[PathBuf]) -> Result<Self, Error> {
        for path in also {
            let list = path.read_dir();
            list.map_err(|error| Error::start(format!("--also {}", path.display()), error))?;
        }
        Ok(Self {
            bricks: volume.bricks_here(),
            volume: volume.clone(),
            mount: mount.root().to_owned(),
            also: also.to_owned(),
        })
    }

    /// Takes out of `keys` those that a file names. At an error nothing is known of what is left.
    pub(super) fn strike(&self, keys: HashSet<String>) -> Result<HashSet<String>, String> {
        let keys = Mutex::new(keys);
        match &self.bricks {
            // Each file has a second name below .glusterfs, which no rename moves: none is missed.
            Some(bricks) => {
                for brick in bricks {
                    crawl(brick, Extent::OneFileSystem, &keys)?;
                }
                // An unmounted disk leaves an empty directory.
                if self.volume.bricks_here().as_ref() != Some(bricks) {
                    return Err("a brick went away meanwhile".to_owned());
                }
            }
            None => self.mount(&keys)?,
        }
        for path in &self.also {
            if crawl(path, Extent::Everything, &keys)?.files == 0 {
                return Err(format!(
                    "--also {}: there is no file in it; is it mounted?",
                    path.display()
                ));
            }
        }
        Ok(keys.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Through the mount. A folder that is moved before it was read may be missed: then all of it is crawled again.
    fn mount(&self, keys: &Mutex<HashSet<String>>) -> Result<(), String> {
        for _ in 0..ATTEMPTS {
            if !crawl(&self.mount, Extent::OneFileSystem, keys)?.vanished {
                return Ok(());
            }
        }
        Err(format!(
            "folders were moved or removed in each of {ATTEMPTS} crawls of the volume; run gc on a server that has all \
             bricks, or when less is going on"
        ))
    }
}

struct Crawled {
    files: u64,
    /// Whether a folder was gone when its turn came.
    vanished: bool,
}

fn crawl(
    root: &Path,
    extent: Extent<'_>,
    keys: &Mutex<HashSet<String>>,
) -> Result<Crawled, String> {
    let files = AtomicU64::new(0);
    let vanished = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let fail = |path: &Path, why: &str| {
        let mut slot = failure.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert_with(|| format!("{}: {why}", show(path)));
    };
    let file = |path: &Path| {
        files.fetch_add(1, Ordering::Relaxed);
        match named(path) {
            Ok(named) if named.is_empty() => {}
            Ok(named) => {
                let mut keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
                for key in named {
                    keys.remove(&key);
                }
            }
            Err(error) if is_gone(&error) => {}
            Err(error) => fail(path, &error.to_string()),
        }
    };
    walk_extent(root, extent, &|walked| {
        match walked {
            Walked::File(path) => file(path),
            Walked::Gone => vanished.store(true, Ordering::Relaxed),
            Walked::Failed(why) => fail(root, why),
        }
        !interrupted()
    });
    if interrupted() {
        return Err("interrupted".to_owned());
    }
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(why) => Err(why),
        None => Ok(Crawled {
            files: files.into_inner(),
            vanished: vanished.into_inner(),
        }),
    }
}

/// The keys of objects that a file names in its marks.
pub(super) fn named(at: &Path) -> io::Result<Vec<String>> {
    let get = |name| {
        let value = xattr::get(at, text(name))?;
        Ok::<_, io::Error>(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    };
    let mut keys = Vec::new();
    if let Some(remote) = get(names::REMOTE)? {
        keys.push(remote.trim_matches(['/', '\0']).to_owned());
    }
    keys.extend(get(names::KEY)?);
    keys.extend(kept(at)?.into_iter().map(|kept| kept.key));
    Ok(keys)
}
