// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Truncating a cold file, by path, descriptor or `O_TRUNC`.
//!
//! Law 9: nothing is removed that the bricks have not accepted as the caller's. So the caller's own operation is done on
//! the bricks, with its process, user, groups and lock owner, *before* the file stops being cold: on the empty stub, or on
//! the bytes in front of the cut once they are there. It cannot hurt there. If read-only, WORM, root-squash, a mandatory
//! lock or an access list refuses it, the file is as cold as it was, and the caller gets their errno. If it is accepted,
//! the marks go, and the caller is answered with what the bricks said.

#![forbid(unsafe_code)]

use std::sync::Arc;

use cloudsync_format::xattr;

use crate::host::child::{Child, Status};
use crate::host::inode::Loc;
use crate::host::ticket::Ticket;
use crate::recall::bring::bring_back;
use crate::recall::cutter::Cutter;
use crate::recall::job::Job;
use crate::volume::Volume;
use cloudsync_logic::decision::Known;
use cloudsync_logic::errno::{Errno, Failure};

/// Cuts a cold file behind its first `keep` bytes, for the operation that the job was started for. Under the lock.
///
/// # Errors
/// Why not. That operation waits again then; if the bricks refused it, it was answered, and that is no error of the job's.
pub fn run(
    volume: &Arc<Volume>,
    job: &Job,
    child: &Child,
    loc: &Loc,
    status: &Status,
    keep: u64,
) -> Result<(), Failure> {
    // Without one everybody who waits goes on, and finds the file as it is.
    let Some(ticket) = job.take_cutter() else {
        return Ok(());
    };
    let mut cutter = Cutter {
        ticket,
        done: None,
        late: None,
    };
    let outcome = if keep == 0 {
        empty(volume, job, child, loc, &mut cutter)
    } else {
        bring_back(volume, job, child, loc, status, Some(&mut cutter)).map(drop)
    };
    if let Some(late) = cutter.late {
        // Whoever has the lock may want the file: it is let go, and the operation goes on when it is answered.
        if let Some((ticket, answer)) = cutter.ticket.leave(late) {
            go_on(ticket, answer);
        }
        return Ok(());
    }
    match (outcome, cutter.done) {
        (Ok(()), Some(done)) => {
            cutter.ticket.answer_done(done);
            Ok(())
        }
        (Err(Failure::NotAccepted(errno)), _) => {
            log::debug!("{}: not cut: {errno}", loc.path());
            cutter.ticket.fail(errno);
            Ok(())
        }
        (outcome, _) => {
            job.wait_again(cutter.ticket);
            outcome
        }
    }
}

/// An operation that had to wait on the bricks was answered. Done there, it is done again, in whatever state the file is
/// by now. Never blocks.
pub fn go_on(ticket: Ticket, answer: Result<(), Errno>) {
    match answer {
        Ok(()) => ticket.again(),
        Err(errno) => ticket.fail(errno),
    }
}

fn empty(
    volume: &Volume,
    job: &Job,
    child: &Child,
    loc: &Loc,
    cutter: &mut Cutter,
) -> Result<(), Failure> {
    let fd = child.open_unlinked_too(&job.inode, loc)?;
    // There is no mark: it starts again if a brick went away since the file was looked at. Another client's recall would
    // go on writing into what is to be empty.
    job.lease.check(&volume.bricks, child, loc)?;
    cutter.cut()?;
    // It may have waited on a brick.
    job.lease.check(&volume.bricks, child, loc)?;
    child.remove(&fd, "commit", xattr::REMOTE)?;
    job.inode.learn(volume.this, Known::Local);
    // The file is empty and local, whatever comes of this. The next lookup does it if it fails.
    if let Err(failure) = volume.bricks.tidy(child, &fd) {
        log::warn!(
            "{}: marks are left for the next lookup: {failure}",
            loc.path()
        );
    }
    Ok(())
}
