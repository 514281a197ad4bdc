// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Brings a file's bytes to the bricks and commits: the steps of a job between the lock and its end.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloudsync_format::xattr;

use crate::host::child::{Child, Status};
use crate::host::fd::Fd;
use crate::host::inode::Loc;
use crate::objects::identity::Identity;
use crate::plugin::store::{Download, LoadedStore};
use crate::recall::cutter::Cutter;
use crate::recall::fetch::{self, Target};
use crate::recall::job::{Job, Serving};
use crate::recall::tracker::{Tracker, WriteError, Written};
use crate::sizes::PIECE;
use crate::volume::Volume;
use cloudsync_logic::decision::{Known, Want};
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::queue::Parts;

/// A descriptor for few operations. The host finds a file by its inode then, which must have the file's identity.
fn open_briefly(child: &Child, job: &Job, loc: &Loc) -> Result<Fd, Failure> {
    if job.inode.gfid().is_none() {
        child.open_unlinked_too(&job.inode, loc)
    } else {
        Fd::anonymous(loc)
    }
}

/// Fetches the file, or as much of it as `cutter` will need, and commits.
///
/// # Errors
/// Why not; the file is cold then, or what another client made of it.
pub fn bring_back(
    volume: &Arc<Volume>,
    job: &Job,
    child: &Child,
    loc: &Loc,
    status: &Status,
    cutter: Option<&mut Cutter>,
) -> Result<(), Failure> {
    let store = volume.store().ok_or(Failure::NoStore)?;
    let size = match job.want {
        // A plugin of the stock ABI brings the whole file or nothing.
        Want::First(keep) if store.can_fetch() => keep.min(status.attributes.size()),
        _ => status.attributes.size(),
    };
    let config = volume.config();
    let _room = if config.over_limits {
        None
    } else {
        let space = &volume.space;
        space.take(child, loc, size, config.keep_free)?
    };
    // What comes in one write is on a brick or not, and needs no mark to be told from a file that is whole: bytes of a
    // cold file.
    let one_write = store.can_fetch() && size <= PIECE;
    let fd = if one_write {
        open_briefly(child, job, loc)?
    } else {
        let fd = child.open_unlinked_too(&job.inode, loc)?;
        job.lease.mark(child, &fd, job.gfid, status)?;
        fd
    };
    let ours = || job.lease.check(&volume.bricks, child, loc);
    let mut moved = false;
    let done = ours()
        .and_then(|()| match one_write {
            // A write of less does not cut what a client left that died in one of more.
            true if size < status.attributes.size() => empty(child, &fd),
            true => Ok(false),
            false => make_room(child, &fd, size),
        })
        .and_then(|moving| {
            moved = moving;
            bring(volume, &store, job, &fd, status, size)
        })
        .and_then(|written| {
            moved |= written.moved_mtime;
            commit(volume, child, &fd, status, moved, cutter, ours)
        });
    // Readers that were served beside it are answered before anything is cut, and before somebody else may cut.
    job.end_reading();
    // It is not needed any more, or what is in memory of it may be what is wrong.
    let refused = done.as_ref().err().and_then(refuses_readers);
    volume.objects.close(job.gfid, refused);
    if let Err(failure) = done {
        // Another client may have brought it back.
        if ours().is_err() {
            return Err(match failure {
                Failure::Cancelled => failure,
                _ => Failure::LockLost,
            });
        }
        // Cut what was written. If that fails too, the next recall starts with it.
        if let Err(second) = child.make_cold_again(loc, &fd, &status.attributes, moved) {
            log::warn!(
                "{}: cannot clean up after a failed recall: {second}",
                loc.path()
            );
        }
        return Err(failure);
    }
    job.inode.learn(volume.this, Known::Local);
    job.resume();
    log::debug!("{}: recalled, {size} bytes", loc.path());
    let counters = &volume.counters;
    counters.recalled.fetch_add(1, Ordering::Relaxed);
    counters.recalled_bytes.fetch_add(size, Ordering::Relaxed);
    Ok(())
}

/// What readers beside a recall that failed get at once: without the bricks nobody can say whether the file is still what
/// they wait for. Any other failure is the recall's alone, or their requests meet it too.
fn refuses_readers(failure: &Failure) -> Option<Errno> {
    let lost = matches!(failure, Failure::LockLost) || failure.errno() == Errno::ENOTCONN;
    lost.then_some(Errno::ENOTCONN)
}

/// Gives the file its size before its bytes. Returns whether that moved its modification time.
///
/// For erasure-coded volumes, which answer EIO to everything for ever once too few bricks agree on how long their
/// fragments are (they ask for it along with the version, and compare the answers). A client that dies in the middle of
/// many writes that each make the file longer leaves every fragment at a length of its own. So one operation makes all
/// of them as long as they will be, and no write changes that. A file that comes in one write needs none of it.
fn make_room(child: &Child, fd: &Fd, size: u64) -> Result<bool, Failure> {
    child.resize(fd, "make room", size)
}

/// Cuts what the bricks may have of a file that looks cold and not half recalled: on a volume of many copies, or of an
/// erasure code, a client that died in its only write may have reached some of the bricks, and the others answer. A recall
/// of all bytes writes over it. Returns whether that moved its modification time.
fn empty(child: &Child, fd: &Fd) -> Result<bool, Failure> {
    child.resize(fd, "cut", 0)
}

/// Brings the first `size` bytes of the object to the bricks.
fn bring(
    volume: &Volume,
    store: &Arc<LoadedStore>,
    job: &Job,
    fd: &Fd,
    status: &Status,
    size: u64,
) -> Result<Written, Failure> {
    let config = volume.config();
    let tracker = Tracker::open(fd.address(), size, config.window);
    job.follow(&tracker);
    if !job.lease.is_sure(&volume.bricks) {
        tracker.distrust();
    }
    let result = if store.can_fetch() {
        let fetched = volume
            .objects
            .open(volume.this, store, job.gfid, status)
            .and_then(|object| {
                let parts = Arc::new(Parts::of(size));
                // A file that will be cut is not served as what it was.
                if size == object.source.identity.size && !config.checked {
                    job.serve(Some(Serving {
                        tracker: Arc::clone(&tracker),
                        object: Arc::clone(&object),
                        parts: Arc::clone(&parts),
                    }));
                }
                let target = Target {
                    volume,
                    job,
                    fd,
                    tracker: &tracker,
                    ranges: config.ranges,
                    give_up: config.give_up,
                };
                fetch::fetch(&object, &parts, &target)
            });
        tracker.drain();
        fetched
    } else {
        let identity = Identity::of(status)?;
        let download = Download {
            fd,
            inode: &job.inode,
            key: &identity.key,
            version: identity.version.as_deref(),
            attributes: &status.attributes,
            cancelled: &job.cancelled,
            after: &|| tracker.drain(),
        };
        store.download(&download).map_err(Failure::Store)
    };
    let written = tracker.written();
    match (written.error, result) {
        // What the bricks say comes first: the plugin's error only follows from it.
        (Some(WriteError::Brick(errno)), _) => Err(Failure::Brick {
            step: "write",
            errno,
        }),
        (Some(WriteError::TooLong), _) => Err(Failure::TooLong(size)),
        (Some(WriteError::Cancelled), _) => Err(Failure::Cancelled),
        (Some(WriteError::Lost), _) => Err(Failure::LockLost),
        (None, _) if job.cancelled.load(Ordering::Acquire) != 0 => Err(Failure::Cancelled),
        // A plugin of the stock ABI takes that for a failure of the bricks, or does not look.
        (None, result)
            if written.refused && !store.can_fetch() && (result.is_err() || !written.complete) =>
        {
            Err(Failure::LockLost)
        }
        (None, Err(failure)) => Err(failure),
        (None, Ok(())) if !written.complete => Err(Failure::Incomplete {
            got: written.bytes,
            want: size,
        }),
        (None, Ok(())) => Ok(written),
    }
}

/// Law 3: all is written and acknowledged; now it must be on the disks before the file says that it is local.
fn commit(
    volume: &Volume,
    child: &Child,
    fd: &Fd,
    status: &Status,
    moved_mtime: bool,
    cutter: Option<&mut Cutter>,
    ours: impl Fn() -> Result<(), Failure>,
) -> Result<(), Failure> {
    child.fsync(fd)?;
    ours()?;
    if moved_mtime {
        child.set_times(fd, &status.attributes)?;
    }
    if let Some(cutter) = cutter {
        cutter.cut()?;
        // It may have waited on a brick.
        ours()?;
    }
    // Wherever a brick dies in this, it has all the bytes, and who looks next goes on with it. Without the size it is not
    // cut any more, and without cs.remote it is local.
    volume.bricks.remove(child, fd, "commit", &xattr::COMMIT)
}
