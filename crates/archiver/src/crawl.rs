// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Looks at every regular file below a path of a brick or a mount, with several threads, and holds on to none.

use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use cloudsync_format::record::{Kept, Record};
use cloudsync_format::{command, xattr as names};
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
    /// Whether it holds bytes that no recall wrote, as the translator says. A brick is not asked.
    pub(crate) kept: bool,
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
    walk_extent(start, Extent::UsersFiles { root }, &|walked| match walked {
        Walked::File(path) => each(path),
        Walked::Gone => true,
        Walked::Failed(why) => {
            complain(start, why);
            true
        }
    });
}

/// What a walk covers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent<'a> {
    /// Not what is the host's own at that root.
    UsersFiles { root: &'a Path },
    /// Everything on the file system of the start.
    OneFileSystem,
    /// Also what is mounted below.
    Everything,
}

/// What a walk meets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Walked<'a> {
    /// A regular file.
    File(&'a Path),
    /// What was removed or moved before its turn.
    Gone,
    /// What cannot be read.
    Failed(&'a str),
}

/// Shows all of it to `each`, from several threads, until it returns false.
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
        walk.filter_entry(move |entry| {
            let below = entry.path().strip_prefix(&root);
            !below.is_ok_and(|below| HOSTS_OWN.iter().any(|name| below == Path::new(name)))
        });
    }
    walk.build_parallel().run(|| {
        Box::new(|entry| {
            if stopped.load(Ordering::Relaxed) {
                return WalkState::Quit;
            }
            let go_on = match &entry {
                Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                    each(Walked::File(entry.path()))
                }
                Ok(_) => true,
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

/// Whether a file or folder is not there any more.
pub(crate) fn is_gone(error: &std::io::Error) -> bool {
    let stale = rustix::io::Errno::STALE;
    error.kind() == ErrorKind::NotFound || rustix::io::Errno::from_io_error(error) == Some(stale)
}

fn look(target: &Target, at: &Path) -> std::io::Result<Option<Found>> {
    let data = at.symlink_metadata()?;
    if !data.is_file() {
        return Ok(None);
    }
    let mut size = data.len();
    let (state, kept) = match target.kind {
        Kind::Brick => {
            // Empty, mode T: it only says on which other brick the file is.
            if data.mode() & 0o1000 != 0 && size == 0 && xattr::get(at, LINK_TO)?.is_some() {
                return Ok(None);
            }
            let (state, true_size) = on_brick(at)?;
            size = true_size.unwrap_or(size);
            (state, false)
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
        kept,
    }))
}

/// The name of an attribute, as the `xattr` crate takes it.
pub(crate) fn text(name: &std::ffi::CStr) -> &str {
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

/// Asks the translator: the state, and whether something was kept.
fn on_mount(at: &Path) -> std::io::Result<(State, bool)> {
    let answer = xattr::get(at, text(command::STATE))?.unwrap_or_default();
    let kept = Answer::parse(&String::from_utf8_lossy(&answer)).kept;
    Ok((parse_state(&answer), kept > 0))
}

/// What the translator answers about a file: `STATE`, and to root `STATE size=BYTES[ kept=N] key=KEY` of a cold file
/// and `local kept=N` of a local one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) state: String,
    /// How many objects the file was archived as before bytes that no recall wrote were found in it.
    pub(crate) kept: u64,
    pub(crate) key: Option<String>,
}

impl Answer {
    pub(crate) fn parse(answer: &str) -> Self {
        // A key may hold anything, so it is the last.
        let (front, key) = match answer.split_once(" key=") {
            Some((front, key)) => (front, Some(key)),
            None => (answer, None),
        };
        let mut words = front.split(' ').peekable();
        let is_value = |word: &str| word.starts_with("size=") || word.starts_with("kept=");
        let mut state = Vec::new();
        while let Some(word) = words.next_if(|word| !is_value(word)) {
            state.push(word);
        }
        let kept = words.find_map(|word| word.strip_prefix("kept=")?.parse().ok());
        Self {
            state: state.join(" "),
            kept: kept.unwrap_or(0),
            key: key.filter(|key| !key.is_empty()).map(str::to_owned),
        }
    }
}

/// The objects that a file was archived as before bytes that no recall wrote were found in it. Root is shown them.
pub(crate) fn kept(at: &Path) -> std::io::Result<Vec<Kept>> {
    let value = xattr::get(at, text(names::KEPT))?.unwrap_or_default();
    Ok(Kept::parse(&String::from_utf8_lossy(&value)).collect())
}

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
    /// What was archived; files that older versions archived have none.
    pub(crate) record: Option<Record>,
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
    let record = get(names::RECORD)?.and_then(|text| Record::parse(&text));
    Ok(Some(Marks {
        key,
        version,
        record,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_translator_is_understood() {
        let answer = |state: &str, kept, key: Option<&str>| Answer {
            state: state.to_owned(),
            kept,
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
        ] {
            assert_eq!(Answer::parse(text), expected, "{text}");
        }
    }
}
