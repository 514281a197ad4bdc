// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Looks at every regular file below a path of a brick or a mount, with several threads, and holds on to none.

use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use cloudsync_format::xattr as names;
use ignore::{WalkBuilder, WalkState};

use crate::volume::{Kind, Target};

pub(crate) mod order;
pub(crate) mod select;

/// At the root of a volume: what is the host's own.
const HOSTS_OWN: [&str; 4] = [
    ".glusterfs",
    ".glusterfs-anonymous-inode",
    ".shard",
    ".trashcan",
];
const LINK_TO: &str = "trusted.glusterfs.dht.linkto";
const THREADS: usize = 4;

/// Where a file's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Local,
    Cold,
    /// Neither yet: a recall or a cut is under way.
    Between,
}

/// A file.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// From the root of the volume.
    pub(crate) path: PathBuf,
    /// As it was crawled.
    pub(crate) at: PathBuf,
    pub(crate) state: State,
    pub(crate) size: u64,
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
    pub(crate) uid: u32,
}

/// Shows each regular file of a brick or mount to `each`, from several threads, until it returns false.
pub(crate) fn crawl(
    target: &Target,
    each: &(dyn Fn(Found) -> bool + Sync),
    complain: &(dyn Fn(&Path, &str) + Sync),
) {
    let file = |path: &Path| match look(target, path) {
        Ok(Some(found)) => each(found),
        Ok(None) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => {
            complain(path, &error.to_string());
            true
        }
    };
    walk(
        &target.root,
        &target.root.join(&target.below),
        &file,
        complain,
    );
}

/// Shows each regular file below `start` to `each`, from several threads, until it returns false. What is the host's
/// own at `root` is left out.
pub(crate) fn walk(
    root: &Path,
    start: &Path,
    each: &(dyn Fn(&Path) -> bool + Sync),
    complain: &(dyn Fn(&Path, &str) + Sync),
) {
    let stopped = AtomicBool::new(false);
    let owned_root = root.to_owned();
    let walk = WalkBuilder::new(start)
        .standard_filters(false)
        .follow_links(false)
        .same_file_system(true)
        .threads(THREADS)
        .filter_entry(move |entry| {
            let below = entry.path().strip_prefix(&owned_root);
            !below.is_ok_and(|below| HOSTS_OWN.iter().any(|name| below == Path::new(name)))
        })
        .build_parallel();
    walk.run(|| {
        Box::new(|entry| {
            if stopped.load(Ordering::Relaxed) {
                return WalkState::Quit;
            }
            match entry {
                Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                    if !each(entry.path()) {
                        stopped.store(true, Ordering::Relaxed);
                        return WalkState::Quit;
                    }
                }
                Ok(_) => {}
                // Removed in between is no trouble.
                Err(error)
                    if error
                        .io_error()
                        .is_some_and(|io| io.kind() == ErrorKind::NotFound) => {}
                Err(error) => complain(start, &error.to_string()),
            }
            WalkState::Continue
        })
    });
}

fn look(target: &Target, at: &Path) -> std::io::Result<Option<Found>> {
    let data = at.symlink_metadata()?;
    if !data.is_file() {
        return Ok(None);
    }
    let mut size = data.len();
    let state = match target.kind {
        Kind::Brick => {
            // Empty, mode T: it only says on which other brick the file is.
            if data.mode() & 0o1000 != 0 && size == 0 && xattr::get(at, LINK_TO)?.is_some() {
                return Ok(None);
            }
            let (state, true_size) = on_brick(at)?;
            size = true_size.unwrap_or(size);
            state
        }
        Kind::Mount => on_mount(at)?,
    };
    let below = at.strip_prefix(&target.root).unwrap_or(at);
    Ok(Some(Found {
        path: target.in_volume(below),
        at: at.to_owned(),
        state,
        size,
        seconds: data.mtime(),
        nanos: u32::try_from(data.mtime_nsec()).unwrap_or(0),
        uid: data.uid(),
    }))
}

fn text(name: &std::ffi::CStr) -> &str {
    name.to_str().unwrap_or_default()
}

/// A number in decimal, as the bricks store it.
fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value)
        .ok()?
        .trim_matches(['\0', ' '])
        .parse()
        .ok()
}

/// The state and, where it is not the brick file's own, the size.
fn on_brick(at: &Path) -> std::io::Result<(State, Option<u64>)> {
    let has = |name| xattr::get(at, text(name));
    if has(names::REMOTE)?.is_some() {
        let size = has(names::OBJECT_SIZE)?.and_then(|size| number(&size));
        let state = if has(names::DOWNLOADING)?.is_some() {
            State::Between
        } else {
            State::Cold
        };
        return Ok((state, size));
    }
    // A fragment of an erasure-coded file tells the size of the whole.
    let whole = xattr::get(at, "trusted.ec.size")?.and_then(|size| size.try_into().ok());
    Ok((State::Local, whole.map(u64::from_be_bytes)))
}

/// Asks the translator.
fn on_mount(at: &Path) -> std::io::Result<State> {
    let answer = xattr::get(at, STATE)?.unwrap_or_default();
    Ok(parse_state(&answer))
}

/// What the translator answers about a file.
pub(crate) const STATE: &str = "glusterfs.cloudsync.state";

/// The state in an answer of the translator.
pub(crate) fn parse_state(answer: &[u8]) -> State {
    if answer.starts_with(b"cold") {
        State::Cold
    } else if answer.starts_with(b"local") {
        State::Local
    } else {
        State::Between
    }
}

/// How to write a path in a line of text: names may hold anything.
pub(crate) fn show(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    if bytes.iter().all(|byte| !byte.is_ascii_control())
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return text.to_owned();
    }
    bytes.escape_ascii().to_string()
}

/// Which object a cold file is, as its marks say.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    pub(crate) key: String,
    /// The store's version of it; empty if it was never known.
    pub(crate) version: String,
}

/// The marks of a cold file, on a brick or through a mount; `None` if it is not cold.
pub(crate) fn marks(at: &Path) -> std::io::Result<Option<Marks>> {
    let get = |name| {
        let value = xattr::get(at, text(name))?;
        Ok::<_, std::io::Error>(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    };
    let Some(remote) = get(names::REMOTE)? else {
        return Ok(None);
    };
    // A file that the script of GlusterFS's documentation archived has the path as the brick knows it.
    let key = match get(names::KEY)? {
        Some(key) => key,
        None => remote.trim_start_matches('/').to_owned(),
    };
    let version = get(names::VERSION)?.unwrap_or_default();
    Ok(Some(Marks { key, version }))
}
