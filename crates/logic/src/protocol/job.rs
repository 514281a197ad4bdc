// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One job on one file: lock, heal what a dead client left, do the job's own work, unlock; and retry all of it if the
//! lock was lost meanwhile.

#![forbid(unsafe_code)]

use cloudsync_format::xattr::{self, State};

use crate::decision::Want;
use crate::errno::Failure;
use crate::gfid::Gfid;
use crate::protocol::brick_file::BrickFile;
use crate::protocol::heal::{Marks, Origin, Settled, settle};
use crate::protocol::lease::{Held, Lease};
use crate::protocol::lock;
use crate::protocol::recall::{Fetch, Plan, empty, fetch_and_commit};
use crate::status::Status;

/// What a job needs besides the bricks.
pub trait Work<F: BrickFile>: Fetch<F> {
    /// The job starts or retries, and waits for the file's lock: discards what an earlier attempt has done.
    fn begin(&mut self);

    /// The job has the file's lock.
    fn locked(&mut self) {}

    /// Determines the origin of the bytes in the file: see [`crate::protocol::heal`].
    ///
    /// # Errors
    /// It is not known.
    fn compare(
        &mut self,
        fd: &F::Fd,
        status: &Status<F::Attributes>,
        marks: Marks,
    ) -> Result<Origin, Failure>;

    /// The bytes in the file were kept, and the file is local with them.
    fn kept(&mut self);

    /// Plans the recall. `keep`: only this many bytes are needed, because the rest will be truncated.
    ///
    /// # Errors
    /// There is no store, or no space.
    fn plan(&mut self, status: &Status<F::Attributes>, keep: Option<u64>) -> Result<Plan, Failure>;

    /// Takes the truncating operation for which the job was started. Returns false if it no longer waits.
    fn take_truncation(&mut self) -> bool;

    /// The file is local. `recalled`: the number of bytes, if this job has recalled it.
    fn local(&mut self, recalled: Option<u64>);
}

/// How often a job retries after it lost its lock.
const RETRIES: usize = 3;

/// Runs the job. `keep_going` is called while another client has the lock, and ends the wait with an error.
///
/// # Errors
/// The job failed. The file is as cold as before, or in the state in which another client left it.
pub fn run<F: BrickFile>(
    file: &F,
    lease: &Lease,
    gfid: Gfid,
    want: Want,
    keep_going: impl Fn() -> Result<(), Failure>,
    work: &mut dyn Work<F>,
) -> Result<(), Failure> {
    let mut left = RETRIES;
    loop {
        work.begin();
        lease.begin(file);
        let outcome = lock::lock(file, &keep_going).and_then(|lock| {
            work.locked();
            let outcome = with_lock(Held { file, lease }, gfid, want, work);
            lease.end(file);
            drop(lock);
            outcome
        });
        match outcome {
            // If another client has not done the work meanwhile, the retry does it.
            Err(Failure::LockLost) if left > 0 => left -= 1,
            // Not limited: during an upgrade, every brick disconnects, one after the other.
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
    let status = heal(held, gfid, work)?;
    match (status.state, want) {
        (State::Local, _) => {
            if status.has_left_overs {
                held.tidy(&held.file.open()?)?;
            }
            work.local(None);
            Ok(())
        }
        (_, Want::Tidy | Want::Inspect | Want::SettleNow | Want::Settle) => Ok(()),
        (State::Remote, Want::Bytes | Want::Check | Want::Read | Want::Extents) => {
            let plan = work.plan(&status, None)?;
            fetch_and_commit(held, gfid, &status, plan, work)?;
            work.local(Some(plan.size));
            Ok(())
        }
        // Without the truncation there is nothing to do: the other waiters resume, and start a job of their own if
        // needed.
        (State::Remote, Want::First(_)) if !work.take_truncation() => Ok(()),
        (State::Remote, Want::First(0)) => {
            empty(held, work)?;
            work.local(None);
            Ok(())
        }
        (State::Remote, Want::First(keep)) => {
            let plan = work.plan(&status, Some(keep))?;
            fetch_and_commit(held, gfid, &status, plan, work)?;
            work.local(Some(plan.size));
            Ok(())
        }
        _ => Err(Failure::Damaged("the bricks cannot determine its state")),
    }
}

/// Heals what a dead client left, and returns the file's status then. We hold the lock, so no client is working on it.
fn heal<F: BrickFile>(
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
        // The file has all its bytes: a commit did not finish, or a handshake died before it truncated. Recalls of the
        // stock translator that died near their end leave this state too.
        State::Downloading => {
            let fd = held.file.open()?;
            held.remove_all(&fd, "unmark", &xattr::COMMIT)?;
            held.file.status()
        }
        State::Local | State::Remote | State::Error => Ok(status),
    }
}
