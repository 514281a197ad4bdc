// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The steps of one job, one after the other, on a thread that may block. See the module above for the order and
//! what a crash between two of them leaves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cloudsync_format::xattr::{self, State};

use crate::host::child::{Child, Status};
use crate::host::file::File;
use crate::host::inode::Loc;
use crate::recall::bring::bring_back;
use crate::recall::cut;
use crate::recall::evidence;
use crate::recall::job::Job;
use crate::sizes::PART;
use crate::volume::Volume;
use cloudsync_logic::decision::{Known, Want};
use cloudsync_logic::errno::Failure;

/// What a look without the lock has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// Nothing is left to do.
    Done,
    /// There is, and it needs no store.
    NoStore,
    /// A file of at most a part is to be brought back.
    Small,
    /// A larger one is.
    Large,
}

/// Looks, without the lock, whether the job is done already: most that come here after another client's recall find the
/// file local, and an operation that the bricks do not check comes here every time. Needs no store.
///
/// # Errors
/// Why it can never be done.
pub fn look(volume: &Volume, job: &Job) -> Result<Looked, Failure> {
    let File { child, loc } = begin(volume, job)?;
    let status = child.status(&loc)?;
    let local = status.state == State::Local;
    if local && !status.has_left_overs {
        job.inode.learn(volume.this, Known::Local);
        return Ok(Looked::Done);
    }
    match job.want {
        Want::Tidy if local || status.is_half_committed() => Ok(Looked::NoStore),
        Want::Tidy => Ok(Looked::Done),
        Want::LookInto if !evidence::is_unexplained(&status, job.gfid) => Ok(Looked::Done),
        // At most all of them are compared with the object.
        Want::LookInto | Want::SettleNow | Want::Settle => Ok(Looked::of(status.on_bricks)),
        Want::First(0) => Ok(Looked::NoStore),
        // One that has bytes may turn out to be local.
        _ if status.state == State::Remote && volume.store().is_none() => Err(Failure::NoStore),
        _ => Ok(Looked::of(status.attributes.size())),
    }
}

impl Looked {
    const fn of(size: u64) -> Self {
        if size <= PART {
            Self::Small
        } else {
            Self::Large
        }
    }
}

fn begin(volume: &Volume, job: &Job) -> Result<File, Failure> {
    File::of(volume.this, &job.inode, job.gfid, job)
}

/// How often a job whose lock was lost starts again.
const AGAIN: usize = 3;

/// How long a lookup waits for the end of a recall that has left marks behind.
const MOMENT: Duration = Duration::from_secs(5);

/// Does what the job's waiters wait for.
///
/// # Errors
/// Why not; the file is then as cold as it was, or what another client made of it.
pub fn run(volume: &Arc<Volume>, job: &Job) -> Result<(), Failure> {
    volume.objects.let_readers_first(job.gfid);
    let File { child, loc } = begin(volume, job)?;
    let begun = Instant::now();
    let go_on = || match job.want {
        _ if job.cancelled.load(Ordering::Acquire) != 0 => Err(Failure::Cancelled),
        Want::LookInto | Want::SettleNow => Err(Failure::Locked),
        Want::Tidy if begun.elapsed() > MOMENT => Err(Failure::Locked),
        _ => Ok(()),
    };
    let mut left = AGAIN;
    loop {
        job.lease.begin(&volume.bricks);
        let outcome = child.lock(&loc, go_on).and_then(|lock| {
            let outcome = with_lock(volume, job, &child, &loc);
            job.lease.end(&child, &loc);
            drop(lock);
            outcome
        });
        match outcome {
            // Whoever had the lock meanwhile may have done it all; if not, it starts again.
            Err(Failure::LockLost) if left > 0 => left -= 1,
            // A lookup goes on without: what it shows then is what was archived.
            Err(failure)
                if matches!(job.want, Want::Tidy | Want::LookInto)
                    || matches!(failure, Failure::Locked) =>
            {
                log::debug!("{}: not looked into: {failure}", loc.path());
                return Ok(());
            }
            outcome => return outcome,
        }
    }
}

fn with_lock(volume: &Arc<Volume>, job: &Job, child: &Child, loc: &Loc) -> Result<(), Failure> {
    let status = healed(volume, child, loc, job)?;
    match (status.state, job.want) {
        (State::Local, _) => {
            if status.has_left_overs {
                let fd = child.open_unlinked_too(&job.inode, loc)?;
                volume.bricks.tidy(child, &fd)?;
            }
            job.inode.learn(volume.this, Known::Local);
            Ok(())
        }
        (_, Want::Tidy | Want::LookInto | Want::SettleNow | Want::Settle) => Ok(()),
        (State::Remote, Want::Bytes | Want::Look | Want::Read) => {
            bring_back(volume, job, child, loc, &status, None)
        }
        (State::Remote, Want::First(keep)) => cut::run(volume, job, child, loc, &status, keep),
        _ => Err(Failure::Damaged("the bricks cannot tell its state")),
    }
}

/// The file's state, after mending what a client that died has left. We hold the lock, so nobody is at work.
fn healed(volume: &Arc<Volume>, child: &Child, loc: &Loc, job: &Job) -> Result<Status, Failure> {
    let mut status = child.status(loc)?;
    match status.state {
        State::Repair => {
            let fd = child.open_unlinked_too(&job.inode, loc)?;
            evidence::settle(volume, job, child, loc, &fd, &status)?;
            status = child.status(loc)?;
        }
        // The bytes are whole: a commit did not come to its end, or a handshake did not begin with cutting. Recalls of
        // the stock translator that died next to their end leave this, too.
        State::Downloading => {
            let fd = child.open_unlinked_too(&job.inode, loc)?;
            volume.bricks.remove(child, &fd, "unmark", &xattr::COMMIT)?;
            status = child.status(loc)?;
        }
        State::Local | State::Remote | State::Error => {}
    }
    Ok(status)
}
