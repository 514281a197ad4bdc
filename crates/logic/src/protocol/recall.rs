// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Recalls or truncates a file, after healing and under the lock.
//!
//! ```text
//! mark -> atime -> extend -> fetch (drained and checked) -> commit
//! commit: fsync -> times -> truncate as the caller -> remove the marks
//! ```
//!
//! Before each change it is checked that the lock is still ours ([`Held`]).
//!
//! Law 9: nothing is removed unless the bricks have accepted the operation with its caller's identity. So a truncation
//! is done on the bricks as its caller *before* the file stops being cold: on the empty stub, or on a file that has the
//! bytes to be kept. There it removes nothing. If the bricks refuse it, the file is as cold as before.

#![forbid(unsafe_code)]

use cloudsync_format::xattr;

use crate::errno::Failure;
use crate::gfid::Gfid;
use crate::protocol::brick_file::BrickFile;
use crate::protocol::heal::make_cold_again;
use crate::protocol::lease::Held;
use crate::status::{Attributes, Status};
use cloudsync_format::message;

/// How a file is recalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many bytes, from the start of the file.
    pub size: u64,
    /// Whether they are written in one write. Such a recall needs no mark, because a brick has either all bytes or
    /// none.
    pub one_write: bool,
}

/// What a recall needs besides the bricks.
pub trait Fetch<F: BrickFile> {
    /// Writes the planned bytes. On success, every write was acknowledged and the bytes are the object's. Returns
    /// whether that changed the file's mtime.
    ///
    /// # Errors
    /// The recall failed; the bytes written must be discarded.
    fn fetch(
        &mut self,
        fd: &F::Fd,
        status: &Status<F::Attributes>,
        plan: Plan,
    ) -> Result<bool, Failure>;

    /// Compares the planned bytes on the bricks with the object's.
    ///
    /// # Errors
    /// [`Failure::Disconnected`] if they differ or cannot be compared.
    fn verify(
        &mut self,
        fd: &F::Fd,
        status: &Status<F::Attributes>,
        plan: Plan,
    ) -> Result<(), Failure>;

    /// Runs the truncation on the bricks with its caller's identity, if the job was started for one.
    ///
    /// # Errors
    /// [`Failure::NotAccepted`].
    fn truncate_as_caller(&mut self) -> Result<(), Failure>;

    /// The order of the commit's steps. Tests override it.
    fn commit(&self) -> &'static [Step] {
        &COMMIT
    }

    /// Stops serving reads from the bricks during the recall, and waits for those in flight. `failed`: why the recall
    /// failed, if it did.
    fn end_reading(&mut self, failed: Option<&Failure>);
}

/// Fetches the bytes of a cold file according to `plan`, and commits. Requires the lock, and a file without bytes.
///
/// # Errors
/// The recall failed. The file is cold, or in the state in which another client left it.
pub fn fetch_and_commit<F: BrickFile>(
    held: Held<'_, F>,
    gfid: Gfid,
    status: &Status<F::Attributes>,
    plan: Plan,
    work: &mut dyn Fetch<F>,
) -> Result<(), Failure> {
    let file = held.file;
    let fd = if plan.one_write {
        file.open_briefly()?
    } else {
        let fd = file.open()?;
        held.lease.mark(file, &fd, gfid, status)?;
        fd
    };
    let before = file.disconnects();
    let mut moved = false;
    let done = prepare(held, &fd, status, plan).and_then(|moving| {
        moved = moving;
        moved |= work.fetch(&fd, status, plan)?;
        commit(held, &fd, status, plan, moved, before, work)
    });
    // If the lock is lost, another client may have recalled the file.
    let lost = done.is_err() && held.check().is_err();
    // Reads in flight are answered before anything is removed, by us or, after the unlock, by another client.
    work.end_reading(match lost {
        true => Some(&Failure::LockLost),
        false => done.as_ref().err(),
    });
    let Err(failure) = done else {
        return Ok(());
    };
    if lost {
        return Err(match failure {
            Failure::Cancelled => failure,
            _ => Failure::LockLost,
        });
    }
    // If this fails too, the next recall does it first.
    if let Err(second) = make_cold_again(held, &fd, &status.attributes, moved) {
        log::warn!(
            id = message::MARKS_LEFT;
            "{}: cannot clean up after a failed recall: {second}; the next recall will",
            file.path()
        );
    }
    Err(failure)
}

/// Prepares the file for the recall's writes. Returns whether that changed its mtime.
///
/// If there are several writes, the file is extended to its final size first. An erasure-coded volume queries the
/// length of the fragments along with their version, and once too few bricks agree on it, it answers EIO to everything
/// forever. A client that died amid writes that each extend the file would leave fragments of different lengths. So a
/// single operation extends all of them to their final length.
///
/// From then on the size does not show that bytes are missing. So before that, the file gets another atime, by which clients
/// that read without asking for the state notice it ([`crate::labels`]), if the stock translator has archived it. By an empty
/// write: setting the time would be refused where files are retained, and would set the mtime, too.
///
/// A single write does not need that. But if it is less than the whole file, bytes that another client left are removed
/// first: one that died during its single write may have reached some bricks, while by the others the file looks cold.
fn prepare<F: BrickFile>(
    held: Held<'_, F>,
    fd: &F::Fd,
    status: &Status<F::Attributes>,
    plan: Plan,
) -> Result<bool, Failure> {
    match plan.one_write {
        true if plan.size < status.attributes.size() => held.resize(fd, "truncate", 0),
        true => held.check().map(|()| false),
        false => {
            let mut accessed = status.attributes;
            accessed.access();
            held.check()?;
            held.file.write_nothing(fd, &accessed)?;
            held.resize(fd, "make room", plan.size)
        }
    }
}

/// A step of the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Writes the bytes to disk.
    Fsync,
    /// Restores the times.
    Times,
    /// Runs the caller's truncation.
    Truncate,
    /// **The commit**: removes the marks, `cs.remote` among them.
    Unmark,
}

/// The order of the commit (law 3). tests/protocol tries all others: they are correct only if the marks are removed
/// last and the times restored before the truncation changes them.
pub const COMMIT: [Step; 4] = [Step::Fsync, Step::Times, Step::Truncate, Step::Unmark];

/// Commits the bytes written. `before`: the number of disconnects before the first write.
///
/// A brick that dies at any point of the last step has all the bytes, and the next client completes the step: without
/// the recorded size, the bytes are no longer removed, and without `cs.remote`, the file is local.
fn commit<F: BrickFile>(
    held: Held<'_, F>,
    fd: &F::Fd,
    status: &Status<F::Attributes>,
    plan: Plan,
    moved_mtime: bool,
    before: u64,
    work: &mut dyn Fetch<F>,
) -> Result<(), Failure> {
    for step in work.commit() {
        match step {
            Step::Fsync => {
                let mut known = before;
                loop {
                    held.file.fsync(fd)?;
                    let disconnects = held.file.disconnects();
                    if disconnects == known {
                        break;
                    }
                    // A brick that disconnected may have lost power, and with it acknowledged bytes.
                    work.verify(fd, status, plan)?;
                    known = disconnects;
                }
            }
            Step::Times if moved_mtime => {
                let mut times = status.attributes;
                times.access();
                held.set_times(fd, &times)?;
            }
            Step::Times => {}
            Step::Truncate => {
                held.check()?;
                work.truncate_as_caller()?;
            }
            Step::Unmark => held.remove_all(fd, "commit", &xattr::COMMIT)?,
        }
    }
    Ok(())
}

/// Truncates a cold file to 0 bytes, without fetching any. Requires the lock.
///
/// # Errors
/// The file is as cold as before.
pub fn empty<F: BrickFile>(held: Held<'_, F>, work: &mut dyn Fetch<F>) -> Result<(), Failure> {
    let fd = held.file.open()?;
    // There is no mark, so any disconnect since the status was queried makes the job retry: another client's recall
    // could still be writing to the file that must be empty.
    held.check()?;
    work.truncate_as_caller()?;
    // The file stays as it is on the bricks, empty. A client that reads from the object without asking must notice that it is
    // local now ([`crate::labels`]).
    held.remove_as_change(&fd, "commit", xattr::REMOTE)?;
    // The file is empty and local even if this fails.
    if let Err(failure) = held.tidy(&fd) {
        log::warn!(
            id = message::MARKS_LEFT;
            "{}: cannot remove the remaining marks: {failure}; the next lookup will",
            held.file.path()
        );
    }
    Ok(())
}
