// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Bytes in a cold file: whose are they, and what becomes of them?
//!
//! A recall that died leaves bytes that are worth nothing: the object has them. But a copy of a file with its marks, a
//! restored backup, and bytes written while the feature was off look the same, and there the bytes are all that somebody
//! has. So bytes are removed only after they were compared with the object (law 10). Where a recall has begun, zeros prove
//! nothing: it has made room for bytes that did not arrive. Bytes that differ are kept: the file becomes local with them,
//! as everybody sees it who mounts the volume without us, and [`xattr::KEPT`] records the object that it was.
//!
//! The mark of a recall names the file and the ctime that it had. Where the volume keeps its own times, no operation of
//! ours moves the ctime, so a matching mark explains the bytes well enough to read from the object beside it. It is no
//! reason to remove them: a write by a client whose clock is behind does not move the ctime either.

#![forbid(unsafe_code)]

use cloudsync_format::record::Kept;
use cloudsync_format::xattr::{self, State};

use crate::errno::{Errno, Failure};
use crate::gfid::Gfid;
use crate::marks::{self, Mark};
use crate::protocol::brick_file::BrickFile;
use crate::protocol::lease::Held;
use crate::status::{Attributes, Status};

/// Whose the bytes in a cold file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A recall's of ours, or the object has them too: they may be removed.
    Ours,
    /// Somebody's, for this reason.
    Foreign(&'static str),
}

const DIFFERENT: Whose = Whose::Foreign("it has bytes that its object has not");
const COPIED: Whose = Whose::Foreign("its marks are another file's");

/// What the marks say, whatever the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The record or the mark is another file's.
    pub copied: bool,
    /// A recall has begun on it: zeros may be the room that it made.
    pub recalled: bool,
    /// The recall was one of ours, on this file, and by its ctime nobody has changed the file since.
    pub explained: bool,
    /// Its mtime differs from the archived one.
    pub changed: bool,
}

impl Marks {
    /// Those of the file `gfid`.
    #[must_use]
    pub fn of<A: Attributes>(status: &Status<A>, gfid: Gfid) -> Self {
        let of_gfid = gfid.to_string();
        let record = status.record.as_ref();
        let mark = status.mark.as_deref().and_then(Mark::parse);
        let mark = mark.as_ref();
        let copied = record.is_some_and(|record| record.gfid != of_gfid)
            || mark.is_some_and(|mark| mark.gfid != of_gfid);
        let attributes = &status.attributes;
        Self {
            copied,
            recalled: status.mark.is_some(),
            explained: !copied && mark.is_some_and(|mark| mark.ctime == attributes.ctime()),
            changed: record.is_some_and(|record| record.mtime != attributes.mtime()),
        }
    }
}

/// Whether the bytes must be settled before anybody reads the file from its object: they are not those of a recall that is
/// in progress, or died.
#[must_use]
pub fn is_unexplained<A: Attributes>(status: &Status<A>, gfid: Gfid) -> bool {
    status.state == State::Repair && status.on_bricks > 0 && !Marks::of(status, gfid).explained
}

/// Whether the bytes in a file in [`State::Repair`] are those of a recall that is in progress, or died, by its marks.
/// `own_times`: the volume keeps its own times. Where it does not, the marks only say that a recall has begun.
#[must_use]
pub fn is_by_recall<A: Attributes>(own_times: bool, status: &Status<A>, gfid: Gfid) -> bool {
    let marks = Marks::of(status, gfid);
    if own_times {
        marks.explained
    } else {
        marks.recalled && !marks.copied
    }
}

/// Whose they are, when they were compared with the object, or could not be (an error).
///
/// # Errors
/// That error, where nothing can be concluded.
pub fn conclude<A: Attributes>(
    compared: Result<bool, Failure>,
    status: &Status<A>,
    marks: Marks,
    own_times: bool,
) -> Result<Whose, Failure> {
    match compared {
        Ok(true) => Ok(Whose::Ours),
        Ok(false) => Ok(DIFFERENT),
        Err(failure) => when_it_fails(status, marks, own_times, &failure).ok_or(failure),
    }
}

/// Whose they are, by the marks alone: a plugin of the stock ABI writes into the file or does nothing, and cannot be asked
/// for the object's bytes. Its recalls are always marked, and make room for all of the file.
///
/// # Errors
/// [`Failure::Damaged`] where the marks contradict each other.
pub fn without_parts<A: Attributes>(
    status: &Status<A>,
    marks: Marks,
    own_times: bool,
) -> Result<Whose, Failure> {
    let whole = status.on_bricks == status.attributes.size();
    match marks {
        Marks { copied: true, .. } => Ok(COPIED),
        Marks {
            recalled: false, ..
        } => Ok(DIFFERENT),
        Marks { changed, .. } if !own_times || !changed => Ok(Whose::Ours),
        _ if !whole => Ok(DIFFERENT),
        _ => Err(Failure::Damaged(
            "a recall died in it, and somebody has touched it or written to it since; look at it on a brick",
        )),
    }
}

/// What can be concluded although they could not be compared.
fn when_it_fails<A: Attributes>(
    status: &Status<A>,
    marks: Marks,
    own_times: bool,
    failure: &Failure,
) -> Option<Whose> {
    let whole = status.on_bricks == status.attributes.size();
    match failure {
        _ if marks.copied && !marks.recalled => Some(COPIED),
        // Fragments of an erasure-coded volume that do not agree: nobody can read them. A client died in its only write,
        // or in one of many.
        Failure::Brick { errno, .. } if *errno == Errno::EIO => {
            let ours = marks.explained || (!marks.changed && status.record.is_some());
            ours.then_some(Whose::Ours)
        }
        // Nothing is left to compare with. Part of a file must not pass for it: a recall that died makes room for all.
        failure if failure.errno() == Errno::ENODATA => {
            let theirs = if marks.recalled {
                own_times && marks.changed && !whole
            } else {
                marks.changed || whole
            };
            theirs.then_some(Whose::Foreign("its object is not in the store"))
        }
        _ => None,
    }
}

/// What [`settle`] made of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Cold, without bytes.
    Cold,
    /// Local, with the bytes that it had.
    Kept,
}

/// Makes a cold file that has bytes cold without them, or local with them. `compare` says whose they are; it is asked only
/// if that is in doubt. Call only under the lock.
///
/// # Errors
/// Why not: nothing is removed then.
pub fn settle<F: BrickFile>(
    held: Held<'_, F>,
    fd: &F::Fd,
    gfid: Gfid,
    status: &Status<F::Attributes>,
    compare: impl FnOnce(Marks) -> Result<Whose, Failure>,
) -> Result<Settled, Failure> {
    let marks = Marks::of(status, gfid);
    let whose = match status.on_bricks {
        0 => Whose::Ours,
        bytes if bytes > status.attributes.size() => {
            Whose::Foreign("it has more bytes than were archived")
        }
        _ => compare(marks)?,
    };
    match whose {
        Whose::Foreign(why) => keep(held, fd, gfid, status, why).map(|()| Settled::Kept),
        Whose::Ours => {
            // First: the client whose bytes they are may be back, and takes its mark for a proof that nobody else was
            // at work.
            held.lease.mark(held.file, fd, gfid, status)?;
            make_cold_again(held, fd, &status.attributes, false).map(|()| Settled::Cold)
        }
    }
}

/// Makes a half-recalled file cold again, with the times in `keep` if it was `moved` off them or removing the bytes does
/// that (it does not where the volume keeps its own). Call only under the lock.
///
/// The bricks could do it (the repair key), but on a replicated volume only the brick that happens to be asked. Does
/// nothing once the file's commit has begun: the error that leads here may have been the answer to it.
///
/// # Errors
/// [`Failure::Brick`].
pub fn make_cold_again<F: BrickFile>(
    held: Held<'_, F>,
    fd: &F::Fd,
    keep: &F::Attributes,
    moved: bool,
) -> Result<(), Failure> {
    let before = held.file.status()?;
    if !matches!(before.state, State::Remote | State::Repair) {
        return Ok(());
    }
    // Even if there seems to be nothing to remove: an erasure-coded volume knows a file's size late.
    held.empty(fd)?;
    if moved || held.file.status()?.attributes.mtime() != before.attributes.mtime() {
        held.set_times(fd, keep)?;
    }
    held.remove(fd, "unmark", xattr::DOWNLOADING)
}

/// The file is local from now on, with the bytes that it has.
fn keep<F: BrickFile>(
    held: Held<'_, F>,
    fd: &F::Fd,
    gfid: Gfid,
    status: &Status<F::Attributes>,
    why: &str,
) -> Result<(), Failure> {
    let key = status.key.as_ref().or(status.remote.as_ref());
    let key = key.map(|key| String::from_utf8_lossy(key).into_owned());
    let key = key.unwrap_or_default();
    // Whichever file's object it was: this may be the last file that names it.
    if !key.is_empty() {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let kept = Kept {
            seconds: now.as_secs(),
            size: status.attributes.size(),
            key: key.clone(),
        };
        let before = held.file.attribute(xattr::KEPT)?;
        let before = before.map(|before| String::from_utf8_lossy(&before).into_owned());
        let value = marks::add_kept(before.as_deref().unwrap_or_default(), &kept);
        held.set(fd, "note the object", &[(xattr::KEPT, &value)])?;
    }
    held.remove_all(fd, "commit", &xattr::COMMIT)?;
    log::warn!(
        "{} (gfid {gfid}): {why}; its {} bytes are not from a recall and are kept: they are the file now. Its marks named \
         object {key}, of {} bytes. See 'Bytes that are not ours' in SEMANTICS.md",
        held.file.path(),
        status.on_bricks,
        status.attributes.size(),
    );
    Ok(())
}

#[cfg(test)]
mod tests;
