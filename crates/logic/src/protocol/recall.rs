// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Brings a file back, or truncates it: what happens between healing and the end of the lock.
//!
//! ```text
//! mark -> make room -> fetch (drained and checked) -> commit
//! commit: fsync -> times -> truncate as the caller -> remove the marks
//! ```
//!
//! Before each change it is checked that the lock is still ours ([`Held`]).
//!
//! Law 9: nothing is removed that the bricks have not accepted as the caller's. So a truncation is done on the bricks as
//! its caller's *before* the file stops being cold: on the empty stub, or on the bytes in front of the cut once they are
//! there. It hurts nothing there. If the bricks refuse it, the file is as cold as it was.

#![forbid(unsafe_code)]

use cloudsync_format::xattr;

use crate::errno::Failure;
use crate::gfid::Gfid;
use crate::protocol::brick_file::BrickFile;
use crate::protocol::heal::make_cold_again;
use crate::protocol::lease::Held;
use crate::status::{Attributes, Status};

/// How a file is brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many bytes, from the beginning.
    pub size: u64,
    /// Whether they arrive in one write. Such a recall needs no mark to be told from a whole file: a brick has the write or
    /// not.
    pub one_write: bool,
}

/// What a recall needs beside the bricks.
pub trait Fetch<F: BrickFile> {
    /// Writes the planned bytes. On success every write was acknowledged and the bytes are the object's. Returns whether
    /// that moved the file's mtime.
    ///
    /// # Errors
    /// Why not: what was written is worth nothing then.
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

    /// Has the bricks do the caller's own truncation, if the job is for one.
    ///
    /// # Errors
    /// [`Failure::NotAccepted`].
    fn truncate_as_caller(&mut self) -> Result<(), Failure>;

    /// The order of the commit. Tests change it.
    fn commit(&self) -> &'static [Step] {
        &COMMIT
    }

    /// Readers are not served from the bricks beside the recall any more; waits for those that are. `failed`: why the
    /// recall failed, if it did.
    fn end_reading(&mut self, failed: Option<&Failure>);
}

/// Fetches the file, or as much of it as `plan` says, and commits. Call only under the lock, on a file that is cold and has
/// no bytes.
///
/// # Errors
/// Why not; the file is cold then, or what another client made of it.
pub fn bring_back<F: BrickFile>(
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
    // Another client may have brought it back.
    let lost = done.is_err() && held.check().is_err();
    // Readers that were served beside it are answered before anything is removed, and before another client may remove it.
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
    // If this fails too, the next recall starts with it.
    if let Err(second) = make_cold_again(held, &fd, &status.attributes, moved) {
        log::warn!(
            "{}: cannot clean up after a failed recall: {second}; the next recall does it",
            file.path()
        );
    }
    Err(failure)
}

/// Returns whether that moved the file's mtime.
///
/// A recall of many writes gives the file its size first. Erasure-coded volumes answer EIO to everything for ever once too
/// few bricks agree on how long their fragments are (they ask for it along with the version, and compare the answers). A
/// client that dies in the middle of many writes that each make the file longer leaves every fragment at a length of its
/// own. So one operation makes all of them as long as they will be.
///
/// A recall of one write needs none of that. But if it brings less than the whole file, it first removes what a client may
/// have left that died in its only write: that may have reached some bricks of a file that looks cold by the others.
fn prepare<F: BrickFile>(
    held: Held<'_, F>,
    fd: &F::Fd,
    status: &Status<F::Attributes>,
    plan: Plan,
) -> Result<bool, Failure> {
    match plan.one_write {
        true if plan.size < status.attributes.size() => held.resize(fd, "cut", 0),
        true => held.check().map(|()| false),
        false => held.resize(fd, "make room", plan.size),
    }
}

/// A step of the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The bytes are on disk.
    Fsync,
    /// The times are what they were.
    Times,
    /// The caller's truncation is accepted, and done.
    Truncate,
    /// **The commit**: the marks are gone, `cs.remote` among them.
    Unmark,
}

/// The order of the commit (law 3). tests/protocol tries every other: it survives only if the marks go last and the times
/// are restored before the truncation moves them.
pub const COMMIT: [Step; 4] = [Step::Fsync, Step::Times, Step::Truncate, Step::Unmark];

/// Commits what was written since bricks had disconnected `before` times.
///
/// Wherever a brick dies in the last step, it has all the bytes, and the next client goes on with it: without the recorded
/// size the bytes are not removed any more, and without `cs.remote` the file is local.
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
            Step::Times if moved_mtime => held.set_times(fd, &status.attributes)?,
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

/// Truncates a cold file to nothing. Fetches nothing. Call only under the lock.
///
/// # Errors
/// Why not; the file is as cold as it was.
pub fn empty<F: BrickFile>(held: Held<'_, F>, work: &mut dyn Fetch<F>) -> Result<(), Failure> {
    let fd = held.file.open()?;
    // There is no mark: it starts again if a brick disconnected since the status was asked for. Another client's recall
    // would go on writing into what is to be empty.
    held.check()?;
    work.truncate_as_caller()?;
    held.remove(&fd, "commit", xattr::REMOTE)?;
    // The file is empty and local, whatever comes of this.
    if let Err(failure) = held.tidy(&fd) {
        log::warn!(
            "{}: marks are left, which the next lookup removes: {failure}",
            held.file.path()
        );
    }
    Ok(())
}
