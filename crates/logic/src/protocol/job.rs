// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One job on one file: lock, heal what a dead client left, do what the job is for, unlock; and all of it again if the
//! lock was lost meanwhile.

#![forbid(unsafe_code)]

use cloudsync_format::xattr::{self, State};

use crate::decision::Want;
use crate::errno::Failure;
use crate::gfid::Gfid;
use crate::protocol::brick_file::BrickFile;
use crate::protocol::heal::{Marks, Settled, Whose, settle};
use crate::protocol::lease::{Held, Lease};
use crate::protocol::lock;
use crate::protocol::recall::{Fetch, Plan, bring_back, empty};
use crate::status::Status;

/// What a job needs beside the bricks.
pub trait Work<F: BrickFile>: Fetch<F> {
    /// The job starts, or starts again: nothing counts that was done before.
    fn begin(&mut self);

    /// Whose the bytes in the file are: see [`crate::protocol::heal`].
    ///
    /// # Errors
    /// Where that is not known.
    fn compare(
        &mut self,
        fd: &F::Fd,
        status: &Status<F::Attributes>,
        marks: Marks,
    ) -> Result<Whose, Failure>;

    /// The bytes were kept: they are the file.
    fn kept(&mut self);

    /// How the file is to be brought back; `keep`: only so many bytes are wanted.
    ///
    /// # Errors
    /// No store, no room.
    fn plan(&mut self, status: &Status<F::Attributes>, keep: Option<u64>) -> Result<Plan, Failure>;

    /// Whether the operation that truncates the file, and that the job was started for, still waits.
    fn take_truncation(&mut self) -> bool;

    /// The file is local. `recalled`: that is this job's doing, which brought back so many bytes.
    fn local(&mut self, recalled: Option<u64>);
}

/// How often a job whose lock was lost starts again.
const AGAIN: usize = 3;

/// Does what the job is for. `keep_going` is asked while another client has the lock.
///
/// # Errors
/// Why not; the file is as cold as it was then, or what another client made of it.
pub fn run<F: BrickFile>(
    file: &F,
    lease: &Lease,
    gfid: Gfid,
    want: Want,
    keep_going: impl Fn() -> Result<(), Failure>,
    work: &mut dyn Work<F>,
) -> Result<(), Failure> {
    let mut left = AGAIN;
    loop {
        work.begin();
        lease.begin(file);
        let outcome = lock::lock(file, &keep_going).and_then(|lock| {
            let outcome = with_lock(Held { file, lease }, gfid, want, work);
            lease.end(file);
            drop(lock);
            outcome
        });
        match outcome {
            // Whoever had the lock meanwhile may have done it all; if not, the job starts again.
            Err(Failure::LockLost) if left > 0 => left -= 1,
            // As often as bricks disconnect: in an upgrade each of them does, one after the other.
            Err(Failure::Disconnected) => {}
            outcome => return outcome,
        }
    }
}

fn with_lock<F: BrickFile>(
    held: Held<'_, F>,
    gfid: Gfid,
    want: Want,
    work: &mut dyn Work<F>,
) -> Result<(), Failure> {
    let status = healed(held, gfid, work)?;
    match (status.state, want) {
        (State::Local, _) => {
            if status.has_left_overs {
                held.tidy(&held.file.open()?)?;
            }
            work.local(None);
            Ok(())
        }
        (_, Want::Tidy | Want::Inspect | Want::SettleNow | Want::Settle) => Ok(()),
        (State::Remote, Want::Bytes | Want::Check | Want::Read) => {
            let plan = work.plan(&status, None)?;
            bring_back(held, gfid, &status, plan, work)?;
            work.local(Some(plan.size));
            Ok(())
        }
        // Without it everybody who waits goes on, and finds the file as it is.
        (State::Remote, Want::First(_)) if !work.take_truncation() => Ok(()),
        (State::Remote, Want::First(0)) => {
            empty(held, work)?;
            work.local(None);
            Ok(())
        }
        (State::Remote, Want::First(keep)) => {
            let plan = work.plan(&status, Some(keep))?;
            bring_back(held, gfid, &status, plan, work)?;
            work.local(Some(plan.size));
            Ok(())
        }
        _ => Err(Failure::Damaged("the bricks cannot tell its state")),
    }
}

/// The file's status, after what a dead client left was mended. We hold the lock, so nobody is at work.
fn healed<F: BrickFile>(
    held: Held<'_, F>,
    gfid: Gfid,
    work: &mut dyn Work<F>,
) -> Result<Status<F::Attributes>, Failure> {
    let status = held.file.status()?;
    match status.state {
        State::Repair => {
            let fd = held.file.open()?;
            let compare = |marks| work.compare(&fd, &status, marks);
            if settle(held, &fd, gfid, &status, compare)? == Settled::Kept {
                work.kept();
            }
            held.file.status()
        }
        // The bytes are whole: a commit did not finish, or a handshake did not begin to truncate. Recalls of the stock
        // translator that died near their end leave this, too.
        State::Downloading => {
            let fd = held.file.open()?;
            held.remove_all(&fd, "unmark", &xattr::COMMIT)?;
            held.file.status()
        }
        State::Local | State::Remote | State::Error => Ok(status),
    }
}
