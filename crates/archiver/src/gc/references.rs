// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Finds which keys are named by some file, of any gfid. A copy with another file's marks, a restored brick or a
//! snapshot may be the last to need an object.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use cloudsync_format::xattr as names;

use super::here::Here;
use crate::crawl::{Extent, Walked, is_gone, kept, record, show, value, walk_extent};
use crate::exit::Error;
use crate::interrupt::interrupted;
use crate::outage::Trouble;
use crate::parallel::lock;
use crate::volume::Volume;
use crate::volume::mount::Mount;

/// Crawls of a mount in which folders are being moved, before giving up.
const ATTEMPTS: usize = 5;

/// The trees whose files may name an object.
pub(super) struct Roots {
    /// All bricks of the volume, if they are all on this host.
    bricks: Option<Vec<PathBuf>>,
    volume: Volume,
    mount: PathBuf,
    also: Vec<PathBuf>,
}

impl Roots {
    /// The trees of the volume and `also`. Each of `also` must be readable; [`remove_named`](Self::remove_named) also
    /// requires it to have a file.
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

    /// Removes from `keys` those that a file names, and those that it names in another store, which does not have them. After an
    /// error the rest is undetermined.
    pub(super) fn remove_named(
        &self,
        keys: HashSet<String>,
        here: &Here<'_>,
    ) -> Result<HashSet<String>, String> {
        let keys = Mutex::new(keys);
        match &self.bricks {
            // Every file has a second name below .glusterfs, which renames do not affect, so none is missed.
            Some(bricks) => {
                for brick in bricks {
                    crawl(brick, Extent::OneFileSystem, &keys, here)?;
                }
                // An unmounted disk leaves an empty directory.
                if self.volume.bricks_here().as_ref() != Some(bricks) {
                    return Err("a brick was unmounted or removed during the crawl".to_owned());
                }
            }
            None => self.mount(&keys, here)?,
        }
        for path in &self.also {
            if crawl(path, Extent::Everything, &keys, here)?.files == 0 {
                return Err(format!(
                    "--also {}: it contains no file; is it mounted?",
                    path.display()
                ));
            }
        }
        Ok(keys.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Crawls the mount. A folder that is moved before it is read may be missed, so the crawl is then repeated.
    fn mount(&self, keys: &Mutex<HashSet<String>>, here: &Here<'_>) -> Result<(), String> {
        for _ in 0..ATTEMPTS {
            if !crawl(&self.mount, Extent::OneFileSystem, keys, here)?.vanished {
                return Ok(());
            }
        }
        Err(format!(
            "folders were moved or removed in each of {ATTEMPTS} crawls of the volume; run gc on a server that has all \
             bricks, or when the volume is less busy"
        ))
    }
}

struct Crawled {
    files: u64,
    /// Whether an entry had vanished before it was read.
    vanished: bool,
}

fn crawl(
    root: &Path,
    extent: Extent<'_>,
    keys: &Mutex<HashSet<String>>,
    here: &Here<'_>,
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
        let keep = |named: Named| {
            let candidate = lock(keys).contains(&named.key);
            // Only of candidates is another store asked.
            let kept = candidate
                && match &named.elsewhere {
                    None => true,
                    Some(store) => !here.is_also_in(store.as_deref(), &named.key)?,
                };
            if kept {
                lock(keys).remove(&named.key);
            }
            Ok::<_, Trouble>(())
        };
        match named(path, here) {
            Ok(named) => {
                if let Err(why) = named.into_iter().try_for_each(keep) {
                    fail(path, &why.to_string());
                }
            }
            Err(error) if is_gone(&error) => {}
            Err(error) => fail(path, &error.to_string()),
        }
    };
    walk_extent(root, extent, &|walked| {
        match walked {
            Walked::File(path) => file(path),
            Walked::Folder(_) | Walked::Link(_) => {}
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

/// An object that a file's marks name.
pub(super) struct Named {
    pub(super) key: String,
    /// The name of the store that has it, if that is another one than this; inside, `None` is the volume's own.
    pub(super) elsewhere: Option<Option<String>>,
}

/// The objects that a file's marks name, including kept ones.
pub(super) fn named(at: &Path, here: &Here<'_>) -> io::Result<Vec<Named>> {
    let mut keys = Vec::new();
    if let Some(remote) = value(at, names::REMOTE)? {
        keys.push(remote.trim_matches(['/', '\0']).to_owned());
    }
    keys.extend(value(at, names::KEY)?);
    // What no record tells of may be in any store.
    let record = match keys.is_empty() {
        true => None,
        false => record(at)?,
    };
    let elsewhere = |store: Option<&str>| {
        let elsewhere = here.is_elsewhere(store);
        elsewhere.then(|| store.map(str::to_owned))
    };
    let recorded = |key: &str| {
        let record = record.as_ref()?;
        elsewhere(record.store.as_deref()).filter(|_| record.is_of(key.as_bytes()))
    };
    let marked = keys.into_iter().map(|key| Named {
        elsewhere: recorded(&key),
        key,
    });
    let kept = kept(at)?.into_iter().map(|kept| Named {
        elsewhere: elsewhere(kept.store.as_deref()),
        key: kept.key,
    });
    Ok(marked.chain(kept).collect())
}
