// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The handshake with the archiver: it has uploaded a file and says what it saw; the file is cut only if that is
//! still so and the store holds the whole object.
//!
//! The stock translator leaves the check and the cut to the bricks, which compare whole seconds and know nothing of
//! the store, of a second copy or of an erasure code. We do both ourselves, under the lock that recalls take:
//!
//! ```text
//! lock -> compare with what the archiver saw -> ask the store (law 2) -> mark -> wait for writers -> compare again
//!      -> write down key, version, size -> set cs.remote -> cut -> times -> unmark -> unlock
//! ```
//!
//! The mark makes the bricks refuse every other operation on the bytes: who wants to write now waits for the lock and
//! recalls the file. A crash leaves a file that is local with a mark (the next job removes it), or, once `cs.remote` is
//! set, one that is cold with bytes (the next job cuts them: the store has vouched for the object).
//!
//! # Why no write is lost
//!
//! A write that somebody was told succeeded, and that is not in the object, must make the second comparison fail. A
//! brick checks a file's state and then writes; so for each brick a write is *early* (checked before the mark came to
//! it) or refused. Our own write of no bytes ([`Child::await_writes`]) comes after the mark was answered, and
//! everything that is compared comes after it.
//!
//! - **One brick** (and distribution over such). Clients ask the brick to check and write in one step (the atomic key,
//!   [`crate::fops::questions`]): it holds a lock of the file's meanwhile, and our write takes the same lock. So early
//!   writes are over when ours is answered. A truncation has no such lock: [`STRAGGLERS`] is all there is.
//! - **Replication.** The mark comes to the bricks one after the other, and a write in between may be early on most of
//!   them and refused by the rest: it succeeds, and its client records on the bricks that took it that the others have
//!   not got it before it tells its caller. Every change of bytes, truncations included, happens under a lock of the
//!   replication's own, taken on most bricks and kept until that record is written; ours takes it too. So, of any other
//!   change: if its turn was before ours, the record is there when we are answered, the lookup reads it from all
//!   bricks, and the attributes that are compared then come from a brick that has the change. If its turn is after
//!   ours, it finds the mark on most bricks and fails. This needs what replication needs itself, a quorum (default for
//!   three bricks): two majorities have a brick in common.
//! - **Erasure coding.** The mark itself is set under the lock that every change takes, over the whole file: a change is
//!   on all bricks before it, or refused by all that have it, and then too few are left for it to succeed.
//!
//! The comparison is of size, mtime and, where the volume keeps its own times, ctime. It is blind to a write that moves
//! none of them; see docs/SEMANTICS.md.

#![forbid(unsafe_code)]

mod checks;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use cloudsync_format::claim::Claim;
use cloudsync_format::record::Record;
use cloudsync_format::xattr::{self, State};

use self::checks::{Object, check_claim, check_file, check_object};
use crate::host::attributes::Attributes;
use crate::host::child::{Child, Reading, Status};
use crate::host::fd::Fd;
use crate::host::file::File;
use crate::host::guard;
use crate::host::inode::Loc;
use crate::host::ticket::Ticket;
use crate::volume::Volume;
use crate::work::task::task;
use crate::work::workers;
use cloudsync_logic::crash;
use cloudsync_logic::decision::Known;
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::marks::Mark;

/// Does the handshake on a thread of ours and answers the operation. Never blocks.
pub fn start(volume: &Arc<Volume>, ticket: Ticket) {
    let limit = volume.config().recalls;
    let task = task(volume, ticket, |volume, ticket| {
        let outcome = guard::catch(Err(Failure::Bug), || run(volume, &ticket));
        let _step = crash::step("answer");
        match outcome {
            Ok(attributes) => ticket.answer_showing(&attributes),
            Err(failure) => {
                log::warn!(
                    "{}: {failure}",
                    ticket
                        .inode()
                        .map_or_else(String::new, |inode| inode.path())
                );
                ticket.fail(failure.errno());
            }
        }
    });
    // If no thread can be had the task is dropped, and the ticket with it, which answers EIO.
    if workers::ARCHIVES.run(limit, task).is_err() {
        log::error!("no thread for a handshake");
    }
}

fn refused(errno: Errno, reason: impl Into<String>) -> Failure {
    Failure::Refused {
        reason: reason.into(),
        errno,
    }
}

/// Returns the attributes that the file shows now.
fn run(volume: &Volume, ticket: &Ticket) -> Result<Attributes, Failure> {
    if ticket.arguments().uid() != 0 {
        return Err(refused(Errno::EPERM, "only root may archive"));
    }
    let claim = ticket
        .arguments()
        .xattr()
        .and_then(|dict| dict.text(xattr::UPLOAD_COMPLETE))
        .as_deref()
        .and_then(Claim::parse)
        .ok_or_else(|| {
            refused(
                Errno::EINVAL,
                "the value of csou.complete is not understood",
            )
        })?;
    let inode = ticket.inode().ok_or(Failure::NO_MEMORY)?;
    let File { child, loc } = File::of(volume.this, &inode, inode.gfid(), &inode)?;
    let losses = volume.bricks.losses();
    let locked = child.lock_within(&loc, PATIENCE);
    let _lock = locked.map_err(|failure| match failure {
        Failure::Locked => refused(Errno::EBUSY, "another client has its lock"),
        failure => failure,
    })?;
    // A brick that went away has forgotten the lock.
    let ours = || {
        if volume.bricks.losses() == losses {
            Ok(())
        } else {
            Err(Failure::LockLost)
        }
    };

    let status = child.status(&loc)?;
    check_file(&status)?;
    check_claim(&claim, &status)?;
    let object = check_object(volume, &claim, &child, &loc, &status)?;

    let fd = child.open(&inode, &loc)?;
    // The store may have taken its time. What is there by now may be another client's recall.
    ours()?;
    // The first change is its caller's own: where the bricks refuse him that, nothing is cut for him.
    let gfid = inode.gfid();
    let mark = Mark::new(gfid, status.attributes.ctime()).to_string();
    let done = child
        .set_as_caller(ticket, &loc, "mark", xattr::DOWNLOADING, &mark)
        .and_then(|()| stop_writers(volume, &child, &loc, &fd))
        .and_then(|()| check_again(volume, &child, &loc, &status))
        .and_then(|()| ours())
        .and_then(|()| cut(&child, &loc, &fd, gfid, &status, &object, ours));
    if let Err(failure) = done {
        // If it may be another client's by now, that one mends it, or the next.
        if ours().is_ok() {
            undo(&child, &loc, &fd);
        }
        return Err(failure);
    }
    inode.learn(
        volume.this,
        Known::Cold {
            size: status.attributes.size(),
        },
    );
    volume.counters.archived.fetch_add(1, Ordering::Relaxed);
    log::debug!(
        "{}: archived, {} bytes, as {}",
        loc.path(),
        status.attributes.size(),
        object.key
    );
    let mut attributes = status.attributes;
    attributes.show_cold(attributes.size());
    Ok(attributes)
}

/// How long a handshake waits for a recall of the file that it is about: then the archiver comes again.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a truncation may take on a brick from its check of the state to its effect. It is two system calls; this is
/// a thousand times as long.
const STRAGGLERS: Duration = Duration::from_millis(20);

/// The mark is set: waits for what came before it, and makes sure that nothing comes after it.
fn stop_writers(volume: &Volume, child: &Child, loc: &Loc, fd: &Fd) -> Result<(), Failure> {
    child.await_writes(fd)?;
    thread::sleep(STRAGGLERS);
    if child.try_to_read(fd)? != Reading::Refused {
        volume.bricks.did_not_look();
        return Err(refused(
            Errno::EOPNOTSUPP,
            "the bricks do not check a file's state (storage.linux-aio, storage.linux-io_uring)",
        ));
    }
    child.look(loc)
}

/// Nobody can change the file any more, but somebody may have until a moment ago.
fn check_again(volume: &Volume, child: &Child, loc: &Loc, before: &Status) -> Result<(), Failure> {
    let _step = crash::step("compare");
    let now = child.status(loc)?;
    // Writing does not move an mtime that lies in the future where the volume keeps its own times. Where it does not,
    // our mark has moved the ctime.
    let own_times = volume.keeps_own_times();
    let same = now.state == State::Downloading
        && now.attributes.size() == before.attributes.size()
        && now.attributes.mtime() == before.attributes.mtime()
        && (!own_times || now.attributes.ctime() == before.attributes.ctime());
    if same {
        Ok(())
    } else {
        // Not ESTALE: at that the kernel makes the call again, and the seconds of the claim may still fit.
        Err(refused(Errno::EBUSY, "it changed just now"))
    }
}

fn cut(
    child: &Child,
    loc: &Loc,
    fd: &Fd,
    gfid: Gfid,
    status: &Status,
    object: &Object,
    ours: impl Fn() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let attributes = &status.attributes;
    let record = Record {
        gfid: gfid.to_string(),
        size: attributes.size(),
        mtime: attributes.mtime(),
        checksum: object.checksum,
        key: Record::sum_of(object.key.as_bytes()),
    };
    // What the bricks of the stock handshake write, so that its translator can recall the file too; and which object
    // the file is, because names change, and so may what is at a name.
    child.set(
        fd,
        "write down the object",
        &[
            (xattr::OBJECT_SIZE, &attributes.size().to_string()),
            (xattr::NUM_BLOCKS, &attributes.blocks().to_string()),
            (xattr::BLOCK_SIZE, &attributes.block_size().to_string()),
            (xattr::VERSION, &object.version),
            (xattr::RECORD, &record.to_string()),
            (xattr::KEY, &object.key),
        ],
    )?;
    child.set(fd, "set cs.remote", &[(xattr::REMOTE, &object.key)])?;
    ours()?;
    child.cut(fd)?;
    let after = child.status(loc)?;
    if after.on_bricks != 0 {
        // A straggler after all. Its bytes are not in the object, so the file must not stay as it is.
        return Err(refused(
            Errno::EBUSY,
            "somebody wrote to it while it was being cut",
        ));
    }
    // Without features.ctime cutting moves the file's times.
    if after.attributes.mtime() != attributes.mtime() {
        child.set_times(fd, attributes)?;
    }
    child.remove(fd, "unmark", xattr::DOWNLOADING)
}

/// Makes the file what it was. Past the cut there is no way back, and no need of one: it is cold then, and heals.
fn undo(child: &Child, loc: &Loc, fd: &Fd) {
    let result = child.status(loc).and_then(|status| {
        if status.remote.is_some() && status.on_bricks != status.attributes.size() {
            return Ok(());
        }
        // cs.remote goes first: left-overs on a local file are harmless.
        child.remove(fd, "undo", xattr::REMOTE)?;
        xattr::LEFT_OVERS
            .iter()
            .try_for_each(|name| child.remove(fd, "undo", name))?;
        child.remove(fd, "undo", xattr::DOWNLOADING)
    });
    if let Err(failure) = result {
        log::warn!(
            "{}: cannot clean up after a refused handshake: {failure}",
            loc.path()
        );
    }
}
