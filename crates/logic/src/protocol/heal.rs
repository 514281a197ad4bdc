// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Settles bytes in a cold file: determines their origin, and removes or keeps them.
//!
//! A recall that died leaves bytes that can be removed, because the object has them. But a copy of a file with its
//! marks, a restored backup, and bytes written while the feature was off look the same, and there the bytes may be the
//! only copy. So bytes are removed only after a comparison with the object (law 10). Where a recall has begun, zeros
//! prove nothing: it has extended the file for bytes that did not arrive. Bytes that differ are kept: the file becomes
//! local with them, which is how clients without our translator see it, and [`xattr::KEPT`] records its former object.
//!
//! The mark of a recall contains the file's gfid and its ctime at that time. Where the volume keeps its own times, our
//! operations do not change the ctime, so a matching mark explains the bytes well enough to serve reads from the
//! object. It does not justify removing them: a write by a client whose clock is behind does not change the ctime
//! either. Erasure-coded volumes are the exception: a client that dies during a write leaves old fragments beside new
//! ones, which read as bytes that nobody wrote, and there is no other way to tell these from bytes of somebody else.

#![forbid(unsafe_code)]

use cloudsync_format::record::Kept;
use cloudsync_format::xattr::{self, State};

use crate::errno::{Errno, Failure};
use crate::gfid::Gfid;
use crate::marks::{self, Mark};
use crate::protocol::brick_file::BrickFile;
use crate::protocol::lease::Held;
use crate::status::{Attributes, Status};
use cloudsync_format::message;

/// The origin of the bytes in a cold file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A recall wrote them, or the object has them too: they may be removed.
    Ours,
    /// Something else wrote them; the reason for this conclusion.
    Foreign(&'static str),
}

const DIFFERENT: Origin = Origin::Foreign("it has bytes that its object does not have");
const COPIED: Origin = Origin::Foreign("its marks are another file's");

/// What the file's marks show, regardless of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The record or the mark is another file's.
    pub copied: bool,
    /// A recall has begun on it: zeros may be where it extended the file.
    pub recalled: bool,
    /// The recall was one of ours on this file, and by its ctime the file has not changed since.
    pub explained: bool,
    /// Its mtime differs from the archived one.
    pub changed: bool,
}

impl Marks {
    /// Evaluates the marks of the file `gfid`.
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

/// Whether the bytes must be settled before reads are served from the object: no recall that is in progress, or died,
/// explains them.
#[must_use]
pub fn is_unexplained<A: Attributes>(status: &Status<A>, gfid: Gfid) -> bool {
    status.state == State::Repair && status.on_bricks > 0 && !Marks::of(status, gfid).explained
}

/// Whether, by its marks, the bytes in a file in [`State::Repair`] are those of a recall that is in progress, or died.
/// `own_times`: the volume keeps its own times. Where it does not, the marks only show that a recall has begun.
#[must_use]
pub fn is_by_recall<A: Attributes>(own_times: bool, status: &Status<A>, gfid: Gfid) -> bool {
    let marks = Marks::of(status, gfid);
    if own_times {
        marks.explained
    } else {
        marks.recalled && !marks.copied
    }
}

/// What is known about the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// It keeps its own times: our operations do not change a file's mtime and ctime.
    pub own_times: bool,
    /// It is erasure-coded: if a client dies during a write, some fragments are old and some are new, and the file reads as
    /// bytes that nobody wrote.
    pub coded: bool,
}

/// Whether, by marks and times, nothing but recalls of ours has written to the file since it was archived.
fn is_unwritten<A: Attributes>(status: &Status<A>, marks: Marks) -> bool {
    marks.explained || (!marks.changed && status.record.is_some())
}

/// Determines the origin of the bytes. `compared`: whether they equal the object's, or why the comparison failed.
///
/// # Errors
/// That failure, if nothing can be concluded from it. [`Failure::Damaged`] if the bytes may be those of fragments that do
/// not agree.
pub fn conclude<A: Attributes>(
    compared: Result<bool, Failure>,
    status: &Status<A>,
    marks: Marks,
    volume: Volume,
) -> Result<Origin, Failure> {
    let own_times = volume.own_times;
    match compared {
        Ok(true) => Ok(Origin::Ours),
        Ok(false) if volume.coded && marks.recalled && !marks.copied => {
            match is_unwritten(status, marks) {
                true => Ok(Origin::Ours),
                false if own_times => Ok(DIFFERENT),
                // The recall has moved the times itself.
                false => Err(Failure::Damaged(
                    "a recall of it was interrupted on an erasure-coded volume without features.ctime: its bytes may be \
                     anything; examine it on a brick",
                )),
            }
        }
        Ok(false) => Ok(DIFFERENT),
        Err(failure) => without_comparison(status, marks, own_times, &failure).ok_or(failure),
    }
}

/// Determines the origin from the marks alone. A plugin of the stock ABI can only write the object into the file, so
/// its bytes cannot be compared. Its recalls are always marked, and extend the file to its full size first.
///
/// # Errors
/// [`Failure::Damaged`] where the marks contradict each other.
pub fn without_parts<A: Attributes>(
    status: &Status<A>,
    marks: Marks,
    own_times: bool,
) -> Result<Origin, Failure> {
    let whole = status.on_bricks == status.attributes.size();
    match marks {
        Marks { copied: true, .. } => Ok(COPIED),
        Marks {
            recalled: false, ..
        } => Ok(DIFFERENT),
        Marks { changed, .. } if !own_times || !changed => Ok(Origin::Ours),
        _ if !whole => Ok(DIFFERENT),
        _ => Err(Failure::Damaged(
            "a recall of it was interrupted, and it was touched or written to since; examine it on a brick",
        )),
    }
}

/// Determines the origin although the comparison failed; `None` if that is not possible.
fn without_comparison<A: Attributes>(
    status: &Status<A>,
    marks: Marks,
    own_times: bool,
    failure: &Failure,
) -> Option<Origin> {
    let whole = status.on_bricks == status.attributes.size();
    match failure {
        _ if marks.copied && !marks.recalled => Some(COPIED),
        // The fragments of an erasure-coded volume do not agree, so nothing can read them: a client died during a
        // write.
        Failure::Brick { errno, .. } if *errno == Errno::EIO => {
            is_unwritten(status, marks).then_some(Origin::Ours)
        }
        // There is nothing to compare with. Part of a file must not become the file: a recall that died has extended it
        // to its full size.
        failure if failure.errno() == Errno::ENODATA => {
            let theirs = if marks.recalled {
                own_times && marks.changed && !whole
            } else {
                marks.changed || whole
            };
            theirs.then_some(Origin::Foreign("its object is not in the store"))
        }
        _ => None,
    }
}

/// The result of [`settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The bytes were removed; the file is cold.
    Cold,
    /// The bytes were kept; the file is local.
    Kept,
}

/// Removes the bytes of a cold file, or makes it local with them. `compare` determines their origin; it is called only
/// if that is in doubt. Requires the lock.
///
/// # Errors
/// The origin is not known, or an operation failed.
pub fn settle<F: BrickFile>(
    held: Held<'_, F>,
    fd: &F::Fd,
    gfid: Gfid,
    status: &Status<F::Attributes>,
    compare: impl FnOnce(Marks) -> Result<Origin, Failure>,
) -> Result<Settled, Failure> {
    let marks = Marks::of(status, gfid);
    let origin = match status.on_bricks {
        0 => Origin::Ours,
        bytes if bytes > status.attributes.size() => {
            Origin::Foreign("it has more bytes than were archived")
        }
        _ => compare(marks)?,
    };
    match origin {
        Origin::Foreign(why) => keep(held, fd, gfid, status, why).map(|()| Settled::Kept),
        Origin::Ours => {
            // Replaces the mark first: the client that wrote the bytes may reconnect, and would take its own mark as
            // proof that no other client has changed the file.
            held.lease.mark(held.file, fd, gfid, status)?;
            make_cold_again(held, fd, &status.attributes, false).map(|()| Settled::Cold)
        }
    }
}

/// Makes a partly recalled file cold again. Restores the times in `keep` if the recall changed them (`moved`) or
/// removing the bytes does (it does not where the volume keeps its own times). Requires the lock.
///
/// The bricks can do this themselves (the repair key), but on a replicated volume only one of them would. Does nothing
/// once the file's commit has begun: the commit may have succeeded although its answer was an error.
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
    // Even if there seem to be no bytes: an erasure-coded volume updates a file's size late.
    let emptied = held.empty(fd)?;
    if moved || emptied.mtime != before.attributes.mtime() {
        held.set_times(fd, keep)?;
    }
    held.remove(fd, "unmark", xattr::DOWNLOADING)
}

/// Makes the file local with the bytes that it has.
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
    // Even if the marks are another file's: this may be the last file that refers to the object.
    if !key.is_empty() {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let kept = Kept {
            seconds: now.as_secs(),
            size: status.attributes.size(),
            store: status.store().map(str::to_owned),
            key: key.clone(),
        };
        let before = held.file.attribute(xattr::KEPT)?;
        let before = before.map(|before| String::from_utf8_lossy(&before).into_owned());
        let value = marks::add_kept(before.as_deref().unwrap_or_default(), &kept);
        held.set(fd, "record the kept object", &[(xattr::KEPT, &value)])?;
    }
    held.remove_all(fd, "commit", &xattr::COMMIT)?;
    log::warn!(
        id = message::BYTES_KEPT;
        "{} (gfid {gfid}): {why}; its {} bytes are not from a recall, so they are kept and the file is local now. Its \
         marks named object {key}, of {} bytes. See 'Bytes that are not ours' in SEMANTICS.md",
        held.file.path(),
        status.on_bricks,
        status.attributes.size(),
    );
    Ok(())
}

#[cfg(test)]
mod tests;
