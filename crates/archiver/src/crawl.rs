// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Visits every regular file below a path of a brick or a mount, with several threads and in constant memory.

use std::ffi::CStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use cloudsync_format::{command, xattr as names};
use ignore::{WalkBuilder, WalkState};

use crate::volume::{Kind, Target};

mod marks;
pub(crate) mod order;
pub(crate) mod pins;
pub(crate) mod select;
pub(crate) mod times;

pub(crate) use marks::{Marks, gfid, kept, marks, record, value};
use times::Times;

/// GlusterFS's own folders, at the root of a volume.
const HOSTS_OWN: [&str; 4] = [
    ".glusterfs",
    ".glusterfs-anonymous-inode",
    ".shard",
    ".trashcan",
];
/// On the empty files by which the distribute translator points to another brick.
const LINK_TO: &str = "trusted.glusterfs.dht.linkto";
const THREADS: usize = 4;

/// Where a file's bytes are, according to its marks or the translator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Local,
    Cold,
    /// Neither: a recall or a handshake is in progress, or was interrupted.
    Between,
}

/// A regular file that a crawl has found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Its path from the root of the volume.
    pub(crate) path: PathBuf,
    /// The path by which it was found.
    pub(crate) at: PathBuf,
    pub(crate) state: State,
    pub(crate) size: u64,
    pub(crate) times: Times,
    /// When it was last archived, in seconds since the epoch. A local file that has this was recalled since.
    pub(crate) archived: Option<u64>,
    pub(crate) uid: u32,
    /// Whether it holds bytes that no recall wrote, according to the translator. Always false on a brick.
    pub(crate) kept: bool,
}

/// Calls `each` for each regular file of a brick or mount, from several threads, until it returns false. Files that
/// cannot be read go to `report_error`, with the error.
pub(crate) fn crawl(
    target: &Target,
    each: &(dyn Fn(Found) -> bool + Sync),
    report_error: &(dyn Fn(&Path, &str) + Sync),
) {
    crawl_below(target, &target.start(), each, report_error);
}

/// As [`crawl`], below this folder of the target.
pub(crate) fn crawl_below(
    target: &Target,
    folder: &Path,
    each: &(dyn Fn(Found) -> bool + Sync),
    report_error: &(dyn Fn(&Path, &str) + Sync),
) {
    let file = |path: &Path| inspected(target, path, each, report_error);
    walk(&target.root, folder, &file, report_error);
}

/// Calls `each` for each regular file in this folder of the target, if there is one, until it returns false. Returns the
/// folders in it.
pub(crate) fn crawl_folder(
    target: &Target,
    folder: &Path,
    each: Option<&dyn Fn(Found) -> bool>,
    report_error: &(dyn Fn(&Path, &str) + Sync),
) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let read = folder
        .symlink_metadata()
        .and_then(|data| Ok((data.dev(), folder.read_dir()?)));
    let (device, entries) = match read {
        Ok(read) => read,
        Err(error) => {
            if !is_gone(&error) {
                report_error(folder, &error.to_string());
            }
            return folders;
        }
    };
    for entry in entries {
        let read = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)));
        match read {
            Ok((path, kind)) if kind.is_dir() => match path.symlink_metadata() {
                // Another file system is mounted there.
                Ok(data) if data.dev() != device => {}
                Ok(_) if is_hosts_own(&target.root, &path) => {}
                Ok(_) => folders.push(path),
                Err(error) if is_gone(&error) => {}
                Err(error) => report_error(&path, &error.to_string()),
            },
            Ok((path, kind)) if kind.is_file() => {
                if each.is_some_and(|each| !inspected(target, &path, each, report_error)) {
                    return folders;
                }
            }
            Ok(_) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => report_error(folder, &error.to_string()),
        }
    }
    folders
}

/// Calls `each` for a file, if it is a regular one of the volume. Returns whether to go on.
fn inspected(
    target: &Target,
    path: &Path,
    each: &dyn Fn(Found) -> bool,
    report_error: &(dyn Fn(&Path, &str) + Sync),
) -> bool {
    match inspect(target, path) {
        Ok(Some(found)) => each(found),
        Ok(None) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => {
            report_error(path, &error.to_string());
            true
        }
    }
}

/// Whether it is one of GlusterFS's own folders.
fn is_hosts_own(root: &Path, path: &Path) -> bool {
    let below = path.strip_prefix(root);
    below.is_ok_and(|below| HOSTS_OWN.iter().any(|name| below == Path::new(name)))
}

/// Calls `each` for each regular file below `start`, from several threads, until it returns false. GlusterFS's own
/// folders at `root` are skipped.
pub(crate) fn walk(
    root: &Path,
    start: &Path,
    each: &(dyn Fn(&Path) -> bool + Sync),
    report_error: &(dyn Fn(&Path, &str) + Sync),
) {
    walk_extent(start, Extent::UsersFiles { root }, &|walked| match walked {
        Walked::File(path) => each(path),
        Walked::Folder(_) | Walked::Link(_) | Walked::Gone => true,
        Walked::Failed(why) => {
            report_error(start, why);
            true
        }
    });
}

/// The files that a walk visits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent<'a> {
    /// All but GlusterFS's own folders at `root`.
    UsersFiles { root: &'a Path },
    /// Everything on the file system of the starting point.
    OneFileSystem,
    /// File systems mounted below as well.
    Everything,
}

/// One entry of a walk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Walked<'a> {
    /// A regular file.
    File(&'a Path),
    /// A folder.
    Folder(&'a Path),
    /// A symbolic link.
    Link(&'a Path),
    /// An entry that was removed or moved before it was read.
    Gone,
    /// An entry that cannot be read, with the error.
    Failed(&'a str),
}

/// Calls `each` for every entry below `start`, from several threads, until it returns false.
pub(crate) fn walk_extent(
    start: &Path,
    extent: Extent<'_>,
    each: &(dyn Fn(Walked<'_>) -> bool + Sync),
) {
    let stopped = AtomicBool::new(false);
    let mut walk = WalkBuilder::new(start);
    walk.standard_filters(false)
        .follow_links(false)
        .same_file_system(!matches!(extent, Extent::Everything))
        .threads(THREADS);
    if let Extent::UsersFiles { root } = extent {
        let root = root.to_owned();
        walk.filter_entry(move |entry| !is_hosts_own(&root, entry.path()));
    }
    walk.build_parallel().run(|| {
        Box::new(|entry| {
            if stopped.load(Ordering::Relaxed) {
                return WalkState::Quit;
            }
            let go_on = match &entry {
                Ok(entry) => match entry.file_type() {
                    Some(kind) if kind.is_file() => each(Walked::File(entry.path())),
                    Some(kind) if kind.is_dir() => each(Walked::Folder(entry.path())),
                    Some(kind) if kind.is_symlink() => each(Walked::Link(entry.path())),
                    _ => true,
                },
                Err(error) if error.io_error().is_some_and(is_gone) => each(Walked::Gone),
                Err(error) => each(Walked::Failed(&error.to_string())),
            };
            if go_on {
                WalkState::Continue
            } else {
                stopped.store(true, Ordering::Relaxed);
                WalkState::Quit
            }
        })
    });
}

/// Whether the error means that the file or folder no longer exists.
pub(crate) fn is_gone(error: &std::io::Error) -> bool {
    let stale = rustix::io::Errno::STALE;
    error.kind() == ErrorKind::NotFound || rustix::io::Errno::from_io_error(error) == Some(stale)
}

/// Reads a file's state and attributes; `None` if it is not a regular file of the volume.
pub(crate) fn inspect(target: &Target, at: &Path) -> std::io::Result<Option<Found>> {
    let data = at.symlink_metadata()?;
    if !data.is_file() {
        return Ok(None);
    }
    let (mut size, mut times) = (data.len(), Times::of(&data));
    let (state, kept, archived) = match target.kind {
        Kind::Brick => {
            // Empty with mode T: a pointer to the brick that has the file.
            if data.mode() & 0o1000 != 0 && size == 0 && xattr::get(at, LINK_TO)?.is_some() {
                return Ok(None);
            }
            let (state, true_size) = on_brick(at)?;
            size = true_size.unwrap_or(size);
            if target.volume.keeps_times() {
                times = Times::kept(at)?.unwrap_or(times);
            }
            let archived = xattr::get(at, text(names::ARCHIVED))?;
            (state, false, archived.and_then(|value| number(&value)))
        }
        Kind::Mount => on_mount(at)?,
    };
    let below = at.strip_prefix(&target.root).unwrap_or(at);
    Ok(Some(Found {
        path: target.in_volume(below),
        at: at.to_owned(),
        state,
        size,
        times,
        archived,
        uid: data.uid(),
        kept,
    }))
}

/// An attribute's name in the type that the `xattr` crate takes.
pub(crate) fn text(name: &CStr) -> &str {
    name.to_str().unwrap_or_default()
}

/// Parses a decimal number as the bricks store it: padded, or terminated by a NUL.
fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value)
        .ok()?
        .trim_matches(['\0', ' '])
        .parse()
        .ok()
}

/// The state and, where it differs from that of the file on the brick, the size in bytes.
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
    // A fragment of an erasure-coded file records the size of the whole, big-endian.
    let whole = xattr::get(at, "trusted.ec.size")?.and_then(|size| size.try_into().ok());
    Ok((State::Local, whole.map(u64::from_be_bytes)))
}

/// Asks the translator for the state, whether the file holds bytes that no recall wrote, and when it was archived.
fn on_mount(at: &Path) -> std::io::Result<(State, bool, Option<u64>)> {
    let answer = ask_details(at)?;
    let Answer { kept, archived, .. } = Answer::parse(&answer);
    Ok((parse_state(answer.as_bytes()), kept > 0, archived))
}

/// Asks the translator about a file in a mount.
///
/// # Errors
/// Also if the mount does not have the translator: its files must not be taken for local ones.
pub(crate) fn ask(at: &Path) -> std::io::Result<String> {
    ask_for(at, command::STATE)
}

/// As [`ask`], for root with all that the translator knows.
pub(crate) fn ask_details(at: &Path) -> std::io::Result<String> {
    if !rustix::process::geteuid().is_root() {
        return ask(at);
    }
    match ask_for(at, command::DETAILS) {
        // A client of an older version does not know the name.
        Err(error) if error.kind() != ErrorKind::NotFound => ask(at),
        answer => answer,
    }
}

fn ask_for(at: &Path, name: &CStr) -> std::io::Result<String> {
    let answer = match xattr::get(at, text(name)) {
        // The bricks do not know the name.
        Err(error) if error.kind() == ErrorKind::Unsupported => None,
        answer => answer?,
    };
    let answer = answer.ok_or_else(|| {
        std::io::Error::other(
            "not in a mount with the translator: use a path in a mount of the volume, with features.cloudsync on",
        )
    })?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The translator's answer about a file: `STATE`; for root, `STATE size=BYTES[ kept=N][ archived=SECONDS][ store=NAME] key=KEY` of a
/// cold file and `local[ kept=N][ archived=SECONDS]` of a local one; `archived` only in the details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) state: String,
    /// The number of objects kept for the file: those that it was archived as before bytes that no recall wrote were
    /// found.
    pub(crate) kept: u64,
    /// When it was last archived, in seconds since the epoch.
    pub(crate) archived: Option<u64>,
    /// The name of the store that has its object; `None`: the volume's own.
    pub(crate) store: Option<String>,
    pub(crate) key: Option<String>,
}

impl Answer {
    pub(crate) fn parse(answer: &str) -> Self {
        // The key is last, because it may contain anything.
        let (front, key) = match answer.split_once(" key=") {
            Some((front, key)) => (front, Some(key)),
            None => (answer, None),
        };
        let mut words = front.split(' ').peekable();
        let names = ["size=", "kept=", "archived=", "store="];
        let is_value = |word: &str| names.iter().any(|name| word.starts_with(name));
        let mut state = Vec::new();
        while let Some(word) = words.next_if(|word| !is_value(word)) {
            state.push(word);
        }
        let words: Vec<_> = words.collect();
        let text = |name| words.iter().find_map(|word| word.strip_prefix(name));
        let value = |name| text(name)?.parse().ok();
        Self {
            state: state.join(" "),
            kept: value("kept=").unwrap_or(0),
            archived: value("archived="),
            store: text("store=").map(str::to_owned),
            key: key.filter(|key| !key.is_empty()).map(str::to_owned),
        }
    }
}

/// The state in the translator's answer.
pub(crate) fn parse_state(answer: &[u8]) -> State {
    if answer.starts_with(b"cold") {
        State::Cold
    } else if answer.starts_with(b"local") {
        State::Local
    } else {
        State::Between
    }
}

/// Formats a path, or another name that a user has chosen, for one line of text: escaped if it has control characters, by
/// which a terminal can be told much, or is not UTF-8.
pub(crate) fn show(path: impl AsRef<Path>) -> String {
    let bytes = path.as_ref().as_os_str().as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_translator_is_understood() {
        let answer = |state: &str, kept, key: Option<&str>| Answer {
            state: state.to_owned(),
            kept,
            archived: None,
            store: None,
            key: key.map(str::to_owned),
        };
        for (text, expected) in [
            ("local", answer("local", 0, None)),
            ("local kept=2", answer("local", 2, None)),
            ("cold", answer("cold", 0, None)),
            ("cold size=7 key=", answer("cold", 0, None)),
            (
                "cold size=7 key=a kept=3",
                answer("cold", 0, Some("a kept=3")),
            ),
            (
                "recalling 7 % size=7 kept=1 key=k",
                answer("recalling 7 %", 1, Some("k")),
            ),
            (
                "cold size=7 archived=9 store=cold key=k",
                Answer {
                    archived: Some(9),
                    store: Some("cold".to_owned()),
                    ..answer("cold", 0, Some("k"))
                },
            ),
            (
                "local archived=9",
                Answer {
                    archived: Some(9),
                    ..answer("local", 0, None)
                },
            ),
        ] {
            assert_eq!(Answer::parse(text), expected, "{text}");
        }
    }
}
