// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The handshake with the archiver: it has uploaded a file and says what it saw. The file becomes cold only if that is
//! still so and the store holds the whole object.
//!
//! The stock translator leaves the check and the truncation to the bricks, which compare whole seconds and know nothing of
//! the store, of a second copy or of an erasure code. We do both ourselves, under the lock that recalls take:
//!
//! ```text
//! lock -> compare with what the archiver saw -> ask the store (law 2) -> mark -> wait for writers -> compare again
//!      -> write key, version, size -> set cs.remote -> truncate -> times -> unmark -> unlock
//! ```
//!
//! The mark makes the bricks refuse every other operation on the bytes: a write that arrives now waits for the lock and
//! recalls the file. A crash leaves a local file with a mark (the next job removes it) or, once `cs.remote` is set, a cold
//! one with bytes (the next job removes them: the store has vouched for the object).
//!
//! # Why no write is lost
//!
//! A write whose caller was told that it succeeded, and that is not in the object, must make the second comparison fail.
//! A brick checks a file's state and then writes; so on each brick a write is *early* (checked before the mark arrived) or
//! refused. Our own write of no bytes ([`BrickFile::await_writes`]) is sent after the mark was answered, and everything
//! that is compared is asked for after it.
//!
//! - **One brick** (and distribution over such). Clients ask the brick to check and write in one step (the atomic key): it
//!   holds a lock of the file's meanwhile, and our write takes the same lock. So early writes are over when ours is
//!   answered. A truncation has no such lock: [`STRAGGLERS`] is all there is.
//! - **Replication.** The mark arrives at the bricks one after the other, and a write in between may be early on most of
//!   them and refused by the rest: it succeeds, and its client records on the bricks that took it that the others have
//!   not got it before it answers its caller. Every change of bytes, truncations included, happens under a lock of the
//!   replication's own, taken on most bricks and kept until that record is written; ours takes it too. So, of any other
//!   change: if its turn was before ours, the record is there when we are answered, the lookup reads it from all bricks,
//!   and the attributes that are compared then are those of a brick that has the change. If its turn is after ours, it
//!   finds the mark on most bricks and fails. This needs what replication needs itself, a quorum (default for three
//!   bricks): two majorities have a brick in common.
//! - **Erasure coding.** The mark itself is set under the lock that every change takes, over the whole file: a change is
//!   on all bricks before it, or refused by all that have it, and then too few are left for it to succeed.
//!
//! The comparison is of size, mtime and, where the volume keeps its own times, ctime. It is blind to a write that moves
//! none of them; see docs/SEMANTICS.md.

#![forbid(unsafe_code)]

use std::time::Duration;

use cloudsync_format::checksum::Checksum;
use cloudsync_format::claim::Claim;
use cloudsync_format::record::Record;
use cloudsync_format::xattr::{self, State};

use crate::crash;
use crate::errno::{Errno, Failure};
use crate::gfid::Gfid;
use crate::marks::Mark;
use crate::protocol::brick_file::BrickFile;
use crate::protocol::lease::Held;
use crate::status::{Attributes, Reading, Status};

/// How long a truncation may take on a brick from its check of the state to its effect. It is two system calls; this is
/// a thousand times as long.
pub const STRAGGLERS: Duration = Duration::from_millis(20);

/// The object that a file becomes.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its version (etag); empty if the store cannot tell.
    pub version: String,
    /// Of the whole object, if the store or the archiver knows it.
    pub checksum: Option<Checksum>,
}

/// What a handshake needs beside the bricks.
pub trait Archive<A> {
    /// Law 2: the store says itself that it has the whole object.
    ///
    /// # Errors
    /// It does not.
    fn vouch(&mut self, status: &Status<A>) -> Result<Object, Failure>;

    /// Sets the mark as the caller of the handshake: where the bricks refuse that caller a change, nothing is removed for
    /// it (law 9).
    ///
    /// # Errors
    /// [`Failure::Brick`].
    fn mark_as_caller(&mut self, mark: &str) -> Result<(), Failure>;

    /// The bricks read without checking a file's state.
    fn bricks_do_not_check(&mut self);
}

/// A handshake that is refused: why, and what setxattr answers.
pub fn refused(errno: Errno, reason: impl Into<String>) -> Failure {
    Failure::Refused {
        reason: reason.into(),
        errno,
    }
}

/// Does the handshake. Call only under the lock; any disconnect since counts as its loss. `own_times`: the volume keeps its own times. Returns what the file was, and the object that it is now.
///
/// # Errors
/// Why not: the file is what it was.
pub fn run<F: BrickFile>(
    held: Held<'_, F>,
    claim: &Claim,
    gfid: Gfid,
    own_times: bool,
    work: &mut dyn Archive<F::Attributes>,
) -> Result<(Status<F::Attributes>, Object), Failure> {
    let file = held.file;
    let status = file.status()?;
    check_file(&status)?;
    check_claim(claim, &status)?;
    let object = work.vouch(&status)?;
    let fd = file.open()?;
    // The store may have taken its time. What is there by now may be another client's recall.
    held.check()?;
    let mark = Mark::new(gfid, status.attributes.ctime()).to_string();
    let done = work
        .mark_as_caller(&mark)
        .and_then(|()| stop_writers(file, &fd, work))
        .and_then(|()| check_again(file, &status, own_times))
        .and_then(|()| make_cold(held, &fd, gfid, &status, &object));
    if let Err(failure) = done {
        // If it may be another client's by now, that one mends it, or the next.
        if held.check().is_ok() {
            undo(held, &fd, &status.attributes);
        }
        return Err(failure);
    }
    Ok((status, object))
}

fn check_file<A: Attributes>(status: &Status<A>) -> Result<(), Failure> {
    if !status.attributes.is_file() {
        return Err(refused(Errno::EINVAL, "not a regular file"));
    }
    // features/shard is above us: the file that we see is the first block, and the others are files of their own.
    if status
        .sharded_size
        .is_some_and(|size| size != status.attributes.size())
    {
        return Err(refused(Errno::EOPNOTSUPP, "it has more than one shard"));
    }
    match status.state {
        State::Local => Ok(()),
        State::Remote | State::Repair => Err(refused(Errno::EALREADY, "it is cold already")),
        State::Downloading | State::Error => Err(refused(Errno::EBUSY, "its state is not settled")),
    }
}

fn check_claim<A: Attributes>(claim: &Claim, status: &Status<A>) -> Result<(), Failure> {
    let changed = |what: &str| {
        Err(refused(
            Errno::EBUSY,
            format!("its {what} is another than when it was read"),
        ))
    };
    let attributes = &status.attributes;
    if attributes.mtime().seconds != claim.seconds {
        return changed("mtime");
    }
    let Some(seen) = claim.seen else {
        return Ok(());
    };
    if attributes.mtime() != seen.mtime {
        return changed("mtime");
    }
    if attributes.ctime() != seen.ctime {
        return changed("ctime");
    }
    if attributes.size() != seen.size {
        return changed("size");
    }
    Ok(())
}

/// The mark is set: waits for the writes before it, and makes sure that none comes after it.
fn stop_writers<F: BrickFile>(
    file: &F,
    fd: &F::Fd,
    work: &mut dyn Archive<F::Attributes>,
) -> Result<(), Failure> {
    file.await_writes(fd)?;
    file.pause(STRAGGLERS);
    match file.try_to_read(fd)? {
        Reading::Refused => file.look_up(),
        Reading::Checked => Err(refused(Errno::EBUSY, "another client removed its mark")),
        Reading::Unchecked => {
            work.bricks_do_not_check();
            Err(refused(
                Errno::EOPNOTSUPP,
                "the bricks do not check a file's state (storage.linux-aio, storage.linux-io_uring)",
            ))
        }
    }
}

/// Nobody can change the file any more, but somebody may have until a moment ago.
fn check_again<F: BrickFile>(
    file: &F,
    before: &Status<F::Attributes>,
    own_times: bool,
) -> Result<(), Failure> {
    let _step = crash::step("compare");
    let now = file.status()?;
    // Writing does not move an mtime that lies in the future where the volume keeps its own times. Where it does not,
    // our mark has moved the ctime.
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

fn make_cold<F: BrickFile>(
    held: Held<'_, F>,
    fd: &F::Fd,
    gfid: Gfid,
    status: &Status<F::Attributes>,
    object: &Object,
) -> Result<(), Failure> {
    let attributes = &status.attributes;
    let record = Record {
        gfid: gfid.to_string(),
        size: attributes.size(),
        mtime: attributes.mtime(),
        checksum: object.checksum,
        key: Record::sum_of(object.key.as_bytes()),
    };
    // What the bricks write in the stock handshake, so that its translator can recall the file too; and which object
    // the file is, because names change, and so may what is at a name.
    held.set(
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
    held.set(fd, "set cs.remote", &[(xattr::REMOTE, &object.key)])?;
    held.empty(fd)?;
    let after = held.file.status()?;
    if after.on_bricks != 0 {
        // A straggler after all. Its bytes are not in the object, so the file must not stay as it is.
        return Err(refused(
            Errno::EBUSY,
            "somebody wrote to it while it was being truncated",
        ));
    }
    // Without features.ctime truncating moves the file's times.
    if after.attributes.mtime() != attributes.mtime() {
        held.set_times(fd, attributes)?;
    }
    held.remove(fd, "unmark", xattr::DOWNLOADING)
}

/// Makes the file what it was. Past the truncation there is no way back, and no need of one: it is cold then, and heals,
/// but only we know its times.
fn undo<F: BrickFile>(held: Held<'_, F>, fd: &F::Fd, before: &F::Attributes) {
    let result = held.file.status().and_then(|status| {
        if status.remote.is_some() && status.on_bricks != status.attributes.size() {
            return match status.attributes.mtime() == before.mtime() {
                true => Ok(()),
                false => held.set_times(fd, before),
            };
        }
        // cs.remote goes first: left-overs on a local file are harmless.
        held.remove(fd, "undo", xattr::REMOTE)?;
        for name in xattr::LEFT_OVERS {
            held.remove(fd, "undo", name)?;
        }
        held.remove(fd, "undo", xattr::DOWNLOADING)
    });
    if let Err(failure) = result {
        log::warn!(
            "{}: cannot clean up after a refused handshake: {failure}; the next job does it",
            held.file.path()
        );
    }
}
