// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The handshake with the archiver, which has uploaded a file and passes the attributes that the file had then. The
//! file becomes cold only if it has not changed since and the store has the whole object.
//!
//! The stock translator leaves the check and the truncation to the bricks, which compare whole seconds and know nothing
//! of the store, of other copies or of erasure coding. We do both ourselves, under the lock that recalls take:
//!
//! ```text
//! lock -> compare with the archiver's attributes -> query the store (law 2) -> mark -> wait for writers
//!      -> compare again -> write key, version, size -> set cs.remote -> truncate -> times -> unmark -> unlock
//! ```
//!
//! The mark makes the bricks refuse every other operation on the bytes: a write that arrives now waits for the lock and
//! recalls the file. A crash leaves a local file with a mark (the next job removes it) or, once `cs.remote` is set, a
//! cold one with bytes (the next job removes them: the store has confirmed the object).
//!
//! # Why no write is lost
//!
//! A write that succeeded for its caller but is not in the object must make the second comparison fail. A brick checks
//! a file's state and then writes; so on each brick, a write is either *early* (checked before the mark arrived) or
//! refused. Our own empty write ([`BrickFile::write_nothing`]) is sent after the mark was answered, and everything that
//! is compared is queried after it.
//!
//! - **One brick** (and distribution over such). Clients request that the brick checks and writes in one step (the atomic
//!   key): the brick holds a lock on the file meanwhile, and our write takes the same lock. So early writes are complete
//!   when ours is answered. A truncation takes no such lock: there, [`STRAGGLERS`] is the only protection.
//! - **Replication.** The mark arrives at the bricks one after the other: it is metadata, and features/locks keeps
//!   locks of metadata apart from those of data (`VOLUME-replicate-N:metadata`), so no lock of a writer holds it up. A
//!   write in between may be early on most of them and refused by the rest: it succeeds, and before its client answers
//!   its caller, it records on the bricks that have the write that the others lack it. Every change of bytes,
//!   truncations included, happens under a lock of replication itself, taken on most bricks and held until that record
//!   is written; our write takes it too. So any other change is ordered: if it took the lock before our write, the
//!   record exists when ours is answered, the lookup reads it from all bricks, and the attributes compared then are
//!   those of a brick that has the change. If it takes the lock after our write, it finds the mark on most bricks and
//!   fails. This requires a quorum (the default for three bricks), as replication itself does: two majorities have a
//!   brick in common.
//! - **Erasure coding.** The mark itself is set under the lock that every change takes, over the whole file: a change is
//!   on all bricks before the mark, or refused by all bricks that have the mark, and then too few are left for it to
//!   succeed.
//!
//! Size, mtime and, where the volume keeps its own times, ctime are compared. A write that changes none of them is not
//! detected; see docs/SEMANTICS.md.

#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime};

use cloudsync_format::checksum::Checksum;
use cloudsync_format::claim::Claim;
use cloudsync_format::holes::Holes;
use cloudsync_format::record::Record;
use cloudsync_format::xattr::{self, State};

use crate::crash;
use crate::errno::{Errno, Failure};
use crate::gfid::Gfid;
use crate::marks::Mark;
use crate::protocol::brick_file::BrickFile;
use crate::protocol::lease::Held;
use crate::status::{Attributes, Reading, Status};
use cloudsync_format::message;

/// How long a truncation may take on a brick from its check of the state to its effect. That is two system calls; this
/// is a thousand times as long.
pub const STRAGGLERS: Duration = Duration::from_millis(20);

/// The object of an archived file.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its version (etag); empty if the store does not report one.
    pub version: String,
    /// The checksum of the whole object, if the store or the archiver knows it.
    pub checksum: Option<Checksum>,
}

/// What a handshake needs besides the bricks.
pub trait Archive<A> {
    /// Law 2: the store itself must confirm that it has the whole object.
    ///
    /// # Errors
    /// It does not confirm that.
    fn confirm_object(&mut self, status: &Status<A>) -> Result<Object, Failure>;

    /// Sets the mark with the identity of the handshake's caller: if the bricks do not let the caller change the file,
    /// no bytes are removed (law 9).
    ///
    /// # Errors
    /// [`Failure::Brick`].
    fn mark_as_caller(&mut self, mark: &str) -> Result<(), Failure>;

    /// Records that the bricks read without checking a file's state.
    fn bricks_do_not_check(&mut self);
}

/// The failure of a refused handshake: the reason, and the errno of the setxattr.
pub fn refused(errno: Errno, reason: impl Into<String>) -> Failure {
    Failure::Refused {
        reason: reason.into(),
        errno,
    }
}

/// Runs the handshake. Requires the lock; any disconnect counts as its loss. `own_times`: the volume keeps its own
/// times. Returns the file's status before, and its object.
///
/// # Errors
/// The handshake was refused or failed; the file is restored.
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
    let object = work.confirm_object(&status)?;
    // A nanosecond is added to the atime, by which clients that read without asking for the state notice the handshake
    // ([`crate::labels`]): now, so that they notice a mark that is left, and one more by the empty write, once nobody can find the
    // file local any more.
    let mut accessed = status.attributes;
    accessed.access_next();
    let fd = file.open_accessing(&accessed)?;
    accessed.access_next();
    // The store may have been slow, and another client may be recalling the file by now.
    held.check()?;
    let mark = Mark::new(gfid, status.attributes.ctime()).to_string();
    let done = work
        .mark_as_caller(&mark)
        .and_then(|()| stop_writers(file, &fd, &accessed, work))
        .and_then(|()| check_again(file, &status, own_times))
        .and_then(|()| make_cold(held, &fd, gfid, claim, &status, &accessed, &object));
    if let Err(failure) = done {
        // If the lock is lost, the next client that takes it cleans up.
        if held.check().is_ok() {
            undo(held, &fd, &accessed);
        }
        return Err(failure);
    }
    Ok((status, object))
}

fn check_file<A: Attributes>(status: &Status<A>) -> Result<(), Failure> {
    if !status.attributes.is_file() {
        return Err(refused(Errno::EINVAL, "not a regular file"));
    }
    // features/shard is above us: we see the first block as the file, and the other blocks as separate files.
    if status
        .sharded_size
        .is_some_and(|size| size != status.attributes.size())
    {
        return Err(refused(
            Errno::EOPNOTSUPP,
            "the file has more than one shard",
        ));
    }
    match status.state {
        State::Local => Ok(()),
        State::Remote | State::Repair => Err(refused(Errno::EALREADY, "the file is already cold")),
        State::Downloading | State::Error => Err(refused(
            Errno::EBUSY,
            "the file is being recalled or archived, or was interrupted",
        )),
    }
}

fn check_claim<A: Attributes>(claim: &Claim, status: &Status<A>) -> Result<(), Failure> {
    let changed = |what: &str| {
        Err(refused(
            Errno::EBUSY,
            format!("its {what} has changed since the archiver read it"),
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

/// Called once the mark is set: waits for earlier writes, and verifies that the bricks refuse later ones.
fn stop_writers<F: BrickFile>(
    file: &F,
    fd: &F::Fd,
    accessed: &F::Attributes,
    work: &mut dyn Archive<F::Attributes>,
) -> Result<(), Failure> {
    file.write_nothing(fd, accessed)?;
    file.pause(STRAGGLERS);
    match file.try_to_read(fd)? {
        Reading::Refused => file.compare_copies(),
        Reading::Checked => Err(refused(Errno::EBUSY, "another client removed the mark")),
        Reading::Unchecked => {
            work.bricks_do_not_check();
            Err(refused(
                Errno::EOPNOTSUPP,
                "the bricks do not check a file's state (storage.linux-aio, storage.linux-io_uring)",
            ))
        }
    }
}

/// Compares once more: no client can change the file any more, but one may have until a moment ago.
fn check_again<F: BrickFile>(
    file: &F,
    before: &Status<F::Attributes>,
    own_times: bool,
) -> Result<(), Failure> {
    let _step = crash::step("compare");
    let now = file.status()?;
    // Where the volume keeps its own times, a write does not change an mtime that is in the future, so the ctime is
    // compared too. Elsewhere it cannot be, because our mark has changed it.
    let same = now.state == State::Downloading
        && now.attributes.size() == before.attributes.size()
        && now.attributes.mtime() == before.attributes.mtime()
        && (!own_times || now.attributes.ctime() == before.attributes.ctime());
    if same {
        Ok(())
    } else {
        // Not ESTALE: the kernel would repeat the call, and the claim's time in seconds may still match.
        Err(refused(
            Errno::EBUSY,
            "the file changed during the handshake",
        ))
    }
}

fn make_cold<F: BrickFile>(
    held: Held<'_, F>,
    fd: &F::Fd,
    gfid: Gfid,
    claim: &Claim,
    status: &Status<F::Attributes>,
    times: &F::Attributes,
    object: &Object,
) -> Result<(), Failure> {
    let attributes = &status.attributes;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default();
    let record = Record {
        gfid: gfid.to_string(),
        size: attributes.size(),
        mtime: attributes.mtime(),
        checksum: object.checksum,
        // Without a checksum, nothing proves them.
        holes: match object.checksum {
            Some(_) => claim.holes.clone(),
            None => Holes::default(),
        },
        store: claim.store.clone(),
        key: Record::sum_of(object.key.as_bytes()),
    };
    // The attributes that the bricks write in the stock handshake, so that the stock translator can recall the file
    // too; and those that identify the object, because the file may be renamed and another one take its name.
    let recorded = |record: &Record| {
        held.set(
            fd,
            "record the object",
            &[
                (xattr::OBJECT_SIZE, &attributes.size().to_string()),
                (xattr::NUM_BLOCKS, &attributes.blocks().to_string()),
                (xattr::BLOCK_SIZE, &attributes.block_size().to_string()),
                (xattr::VERSION, &object.version),
                (xattr::RECORD, &record.to_string()),
                (xattr::KEY, &object.key),
            ],
        )
    };
    write_record(record, recorded)?;
    let cold = [
        (xattr::REMOTE, object.key.as_str()),
        (xattr::ARCHIVED, &now.as_secs().to_string()),
    ];
    held.set(fd, "set cs.remote", &cold)?;
    let emptied = held.empty(fd)?;
    if emptied.on_bricks != 0 {
        // A straggler after all. Its bytes are not in the object, so the file must not stay as it is.
        return Err(refused(
            Errno::EBUSY,
            "the file was written to while it was being truncated",
        ));
    }
    // Without features.ctime, truncating changes the file's times.
    if emptied.mtime != attributes.mtime() {
        held.set_times(fd, times)?;
    }
    held.remove(fd, "unmark", xattr::DOWNLOADING)
}

/// Writes a record; without the holes, which are only a hint, if a brick's inode has too little room beside other attributes.
///
/// # Errors
/// Those of `write`.
pub fn write_record(
    mut record: Record,
    write: impl Fn(&Record) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match write(&record) {
        Err(Failure::Brick { errno, .. })
            if !record.holes.is_empty() && (errno.is_full() || errno.get() == libc::E2BIG) =>
        {
            record.holes = Holes::default();
            write(&record)
        }
        written => written,
    }
}

/// Restores the file. After the truncation that is neither possible nor necessary: the file is cold then, and the next
/// job heals it. But only we know its times, so they are restored.
fn undo<F: BrickFile>(held: Held<'_, F>, fd: &F::Fd, before: &F::Attributes) {
    let result = held.file.status().and_then(|status| {
        if status.remote.is_some() && status.on_bricks != status.attributes.size() {
            return match status.attributes.mtime() == before.mtime() {
                true => Ok(()),
                false => held.set_times(fd, before),
            };
        }
        // cs.remote first: the other marks are harmless on a local file.
        held.remove(fd, "undo", xattr::REMOTE)?;
        for name in xattr::LEFT_OVERS.iter().chain(&[xattr::ARCHIVED]) {
            held.remove(fd, "undo", name)?;
        }
        held.remove(fd, "undo", xattr::DOWNLOADING)
    });
    if let Err(failure) = result {
        log::warn!(
            id = message::MARKS_LEFT;
            "{}: cannot clean up after a refused handshake: {failure}; the next job will",
            held.file.path()
        );
    }
}
