// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One file's way to the store.
//!
//! ```text
//! open -> local, not in use -> remember a key -> stat -> read, sum up, upload, HEAD -> stat again -> hand-shake
//! ```
//!
//! The key is written to the file *before* it is read, so nothing of ours touches the file between the stat and the
//! hand-shake: whoever does shows in ctime. It is our own note (`trusted.cloudsync.last`), which no recall looks at; the
//! hand-shake carries the key itself. A run that is killed leaves at most that note: if the object is whole by the
//! next run, and the file still what it was made of, the file is cut without another upload.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_format::claim::{Claim, Seen, Time};
use cloudsync_format::object::Notes;
use cloudsync_format::xattr as names;
use cloudsync_store::checksum::Algorithm;
use cloudsync_store::{Archive, Checksum, Source, StoreError, Upload};
use rustix::fs::OFlags;

use super::marks::{self, Hints, Marked};
use crate::cli::KeyLayout;
use crate::crawl::order::Candidate;
use crate::crawl::select::is_older;
use crate::crawl::{STATE, State, parse_state};
use crate::volume::Volume;

/// Files up to here are read once, into memory; larger ones once for the checksum and once for the upload.
const IN_MEMORY: u64 = 1 << 20;
const BUFFER: usize = 1 << 20;
/// Without features.ctime a file's times are the brick's: as coarse as its kernel's clock. After so long a change has
/// another time.
const TICK: Duration = Duration::from_millis(20);
/// How often to begin anew with one file.
const ATTEMPTS: u32 = 3;
/// A hand-shake marks the file for a few hundredths of a second. A mark that stays longer is of a client that died.
const SETTLED: Duration = Duration::from_millis(700);
/// How long the translator may take to clear up.
const SETTLING: Duration = Duration::from_secs(10);
const OPEN: &str = "glusterfs.open-fd-count";

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Archived { bytes: u64, uploaded: bool },
    Left(Why),
}

/// Why a file is left as it is; no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Cold,
    Open,
    Busy,
    Changed,
    Fresh,
    Gone,
    Special,
    Empty,
    Sharded,
}

impl Why {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Cold => "it is cold already",
            Self::Open => "somebody has it open",
            Self::Busy => "somebody else is at it",
            Self::Changed => "it changed while it was read",
            Self::Fresh => "it was modified meanwhile",
            Self::Gone => "it is gone",
            Self::Special => "not a regular file any more",
            Self::Empty => "it is empty",
            Self::Sharded => "it has more than one shard",
        }
    }
}

/// What failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{0}: {1}")]
    Io(&'static str, io::Error),
    #[error("{0}: {1}")]
    Store(&'static str, StoreError),
    #[error("{0}")]
    Other(String),
    /// Not a failure; on its way to [`Done::Left`].
    #[error("{}", .0.text())]
    Left(Why),
    /// Not a failure: the key on the file was of another state of it, and is gone now.
    #[error("its bytes are not those of its object, though size and mtime are")]
    Again,
}

impl Problem {
    pub(super) fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(_, error) => Some(error),
            _ => None,
        }
    }
}

/// Archives files of one volume.
pub(super) struct Archiver<'a> {
    pub(super) volume: &'a Volume,
    /// Of our mount.
    pub(super) root: &'a Path,
    /// A brick to ask first: that costs nothing, and what it says is checked.
    pub(super) brick: Option<&'a Path>,
    pub(super) store: &'a dyn Archive,
    pub(super) layout: KeyLayout,
    pub(super) older_than: Duration,
}

impl Archiver<'_> {
    /// Archives a file. `pay` waits until so many bytes may be sent.
    pub(super) fn archive(
        &self,
        candidate: &Candidate,
        pay: &dyn Fn(u64),
    ) -> Result<Done, Problem> {
        let mut done = self.attempt(candidate, pay);
        for _ in 1..ATTEMPTS {
            if matches!(done, Err(Problem::Again)) {
                done = self.attempt(candidate, pay);
            }
        }
        match done {
            Err(Problem::Left(why)) => Ok(Done::Left(why)),
            Err(Problem::Io(_, error)) if is_gone(&error) => Ok(Done::Left(Why::Gone)),
            other => other,
        }
    }

    fn attempt(&self, candidate: &Candidate, pay: &dyn Fn(u64)) -> Result<Done, Problem> {
        let path = self.root.join(&candidate.path);
        // Before we open it ourselves.
        let open = xattr::get(&path, OPEN)
            .map_err(|error| Problem::Io("asking who has it open", error))?;
        if open.is_some_and(|count| !count.starts_with(b"0")) {
            return Err(Problem::Left(Why::Open));
        }
        let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
        let file = File::options().read(true).custom_flags(flags).open(&path);
        let file = match file {
            Ok(file) => file,
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Err(Problem::Left(Why::Special));
            }
            Err(error) => return Err(Problem::Io("opening it", error)),
        };
        let hints = self
            .brick
            .map(|brick| Hints::read(&brick.join(&candidate.path)));
        let hints = hints.unwrap_or_default();
        if !hints.local {
            if matches!(self.check_local(&file), Err(Problem::Left(Why::Busy))) {
                self.settle(&file)?;
            }
            self.check_local(&file)?;
        }
        let gfid = match &hints.gfid {
            Some(gfid) => gfid.clone(),
            None => marks::gfid(&file)?,
        };
        let marked = Marked::mark(self, &file, &candidate.path, &gfid, &hints)?;
        let done = self.marked(&file, candidate, &gfid, &marked, pay);
        if matches!(done, Err(Problem::Again)) {
            Marked::forget(&file);
        }
        done
    }

    pub(super) fn check_local(&self, file: &File) -> Result<(), Problem> {
        use xattr::FileExt;
        let state = file
            .get_xattr(STATE)
            .map_err(|error| Problem::Io("asking for its state", error))?;
        match state.as_deref().map(parse_state) {
            Some(State::Local) => Ok(()),
            Some(State::Cold) => Err(Problem::Left(Why::Cold)),
            Some(State::Between) => Err(Problem::Left(Why::Busy)),
            None => Err(Problem::Other(
                "the volume's clients have not the translator of this version: \
                 install it, restart glusterd, set features.cloudsync on"
                    .to_owned(),
            )),
        }
    }

    /// A client that died in the middle of a hand-shake leaves a local file with a mark. The translator removes it
    /// when it is asked to recall the file, which finds that there is nothing to recall.
    fn settle(&self, file: &File) -> Result<(), Problem> {
        use xattr::FileExt;
        let failed = |error| Problem::Io("asking for its state", error);
        thread::sleep(SETTLED);
        self.check_busy(file)?;
        if marks::get(file, names::REMOTE)?.is_some() {
            return Err(Problem::Left(Why::Busy));
        }
        file.set_xattr("glusterfs.cloudsync.recall", b"1")
            .map_err(failed)?;
        let begun = Instant::now();
        while begun.elapsed() < SETTLING && self.check_local(file).is_err() {
            thread::sleep(SETTLED / 10);
        }
        Ok(())
    }

    /// Ends the matter unless the file is neither local nor cold.
    fn check_busy(&self, file: &File) -> Result<(), Problem> {
        match self.check_local(file) {
            Err(Problem::Left(Why::Busy)) => Ok(()),
            Err(other) => Err(other),
            Ok(()) => Err(Problem::Again),
        }
    }

    fn marked(
        &self,
        file: &File,
        candidate: &Candidate,
        gfid: &str,
        marked: &Marked,
        pay: &dyn Fn(u64),
    ) -> Result<Done, Problem> {
        let stat = |file: &File| {
            file.metadata()
                .map_err(|error| Problem::Io("looking at it", error))
        };
        let before = stat(file)?;
        self.check_wanted(&before)?;
        // The brick may have spoken of a file that was at this path before, or not know yet that this one is cold: a
        // cold file shows one block.
        if !marks::is_of(gfid, before.ino()) {
            return Err(Problem::Left(Why::Changed));
        }
        if before.blocks() <= 1 {
            self.check_local(file)?;
        }
        let seen = seen(&before);
        if !self.volume.keeps_times() {
            thread::sleep(TICK);
        }
        let notes = Notes {
            path: Some(path_bytes(&candidate.path)),
            size: seen.size,
            mtime: seen.mtime,
            mode: before.permissions().mode() & 0o7777,
            uid: before.uid(),
            gid: before.gid(),
            gfid: gfid.to_owned(),
            volume: self.volume.id.clone(),
        };
        let bytes = Bytes::read(file, seen.size)?;
        let there = marked.object(self, &notes, bytes.checksum)?;
        if !there {
            pay(seen.size);
            self.upload(file, &seen, &notes, &bytes, marked)?;
        }
        if changed(file, &seen)? {
            return Err(Problem::Left(Why::Changed));
        }
        hand_shake(file, seen, &marked.key)?;
        Ok(Done::Archived {
            bytes: seen.size,
            uploaded: !there,
        })
    }

    /// Returns when the store has promised to keep the whole object.
    fn upload(
        &self,
        file: &File,
        seen: &Seen,
        notes: &Notes,
        bytes: &Bytes<'_>,
        marked: &Marked,
    ) -> Result<(), Problem> {
        let upload = Upload {
            size: seen.size,
            checksum: bytes.checksum,
            metadata: &notes.to_metadata(),
            source: bytes,
        };
        match self.store.put(&marked.key, &upload) {
            Ok(object) if object.size == seen.size && object.checksum == Some(bytes.checksum) => {
                Ok(())
            }
            Ok(_) => Err(Problem::Other(format!(
                "the store has another object than was sent, under {}",
                marked.key
            ))),
            // Another archiver may have taken the same key off the file, and the same bytes.
            Err(error @ StoreError::Exists(_)) => {
                match marked.compare(self, notes, bytes.checksum)? {
                    true => Ok(()),
                    false => Err(Problem::Store("uploading it", error)),
                }
            }
            // What the checksum was made of and what was sent differ: somebody writes.
            Err(StoreError::Corrupt(_)) if changed(file, seen)? => Err(Problem::Left(Why::Changed)),
            Err(error) => Err(Problem::Store("uploading it", error)),
        }
    }

    /// It may have changed since it was found.
    fn check_wanted(&self, data: &Metadata) -> Result<(), Problem> {
        let nanos = u32::try_from(data.mtime_nsec()).unwrap_or(0);
        if !data.is_file() {
            Err(Problem::Left(Why::Special))
        } else if data.len() == 0 {
            Err(Problem::Left(Why::Empty))
        } else if !is_older(data.mtime(), nanos, self.older_than) {
            Err(Problem::Left(Why::Fresh))
        } else {
            Ok(())
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    let stale = rustix::io::Errno::STALE.raw_os_error();
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(stale)
}

fn path_bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

pub(crate) fn seen(data: &Metadata) -> Seen {
    let time = |seconds, nanos| Time {
        seconds,
        nanos: u32::try_from(nanos).unwrap_or(0),
    };
    Seen {
        mtime: time(data.mtime(), data.mtime_nsec()),
        ctime: time(data.ctime(), data.ctime_nsec()),
        size: data.len(),
    }
}

fn changed(file: &File, before: &Seen) -> Result<bool, Problem> {
    let now = file
        .metadata()
        .map_err(|error| Problem::Io("looking at it", error))?;
    Ok(seen(&now) != *before)
}

/// Says what was seen and uploaded; the translator compares, asks the store, and cuts.
pub(crate) fn hand_shake(file: &File, seen: Seen, key: &str) -> Result<(), Problem> {
    use xattr::FileExt;
    let claim = Claim {
        seconds: seen.mtime.seconds,
        seen: Some(seen),
        key: Some(key.to_owned()),
    };
    let name = names::UPLOAD_COMPLETE.to_str().unwrap_or_default();
    let Err(error) = file.set_xattr(name, claim.to_string().as_bytes()) else {
        return Ok(());
    };
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    match errno {
        Some(Errno::BUSY | Errno::STALE) => Err(Problem::Left(Why::Changed)),
        Some(Errno::ALREADY) => Err(Problem::Left(Why::Cold)),
        Some(Errno::OPNOTSUPP) => Err(Problem::Left(Why::Sharded)),
        Some(Errno::INVAL) => Err(Problem::Other(
            "the translator does not understand this program: \
             install the same version of both on this host"
                .to_owned(),
        )),
        _ => Err(Problem::Io(
            "cutting it (the object is in the store; the client's log says more)",
            error,
        )),
    }
}

/// The bytes to upload, and their checksum.
struct Bytes<'a> {
    file: &'a File,
    memory: Option<Vec<u8>>,
    checksum: Checksum,
}

impl<'a> Bytes<'a> {
    fn read(file: &'a File, size: u64) -> Result<Self, Problem> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Problem::Left(Why::Changed),
            _ => Problem::Io("reading it", error),
        };
        let mut computing = Algorithm::Crc64Nvme.compute();
        let length = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut buffer = vec![0; length(size.min(IN_MEMORY)).min(BUFFER)];
        let mut offset = 0;
        while offset < size {
            let piece = length((size - offset).min(buffer.len() as u64));
            file.read_exact_at(&mut buffer[..piece], offset)
                .map_err(failed)?;
            computing.update(&buffer[..piece]);
            offset += piece as u64;
        }
        Ok(Self {
            file,
            memory: (size <= IN_MEMORY).then_some(buffer),
            checksum: computing.finish(),
        })
    }
}

impl Source for Bytes<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let Some(memory) = &self.memory else {
            return self.file.read_exact_at(buffer, offset);
        };
        let begin = usize::try_from(offset).map_err(io::Error::other)?;
        let end = begin.checked_add(buffer.len());
        let bytes = end.and_then(|end| memory.get(begin..end));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
