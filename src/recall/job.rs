// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The steps of one job, one after the other, on a thread that may block. See the module above for the order and
//! what a crash between two of them leaves.

use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cloudsync_format::xattr::{self, State};

use crate::decision::Known;
use crate::errno::{Errno, Failure};
use crate::host::child::{Child, Status};
use crate::host::fd::Fd;
use crate::host::file::File;
use crate::host::inode::Loc;
use crate::instance::Instance;
use crate::objects::identity::Identity;
use crate::objects::sizes::{PART, PIECE};
use crate::plugin::store::{Download, LoadedStore};
use crate::recall::cut::{self, Cutter};
use crate::recall::engine::{Job, Serving, Want};
use crate::recall::evidence;
use crate::recall::parts::{self, Parts, Target};
use crate::recall::tracker::{Tracker, WriteError, Written};

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
pub fn look(instance: &Instance, job: &Job) -> Result<Looked, Failure> {
    let File { child, loc } = begin(instance, job)?;
    let status = child.status(&loc)?;
    let local = status.state == State::Local;
    if local && !status.has_left_overs {
        job.inode.learn(instance.this, Known::Local);
        return Ok(Looked::Done);
    }
    match job.want {
        Want::Tidy if local || status.is_half_committed() => Ok(Looked::NoStore),
        Want::Tidy => Ok(Looked::Done),
        Want::LookInto if !evidence::is_unexplained(&status, job.gfid) => Ok(Looked::Done),
        // At most all of them are compared with the object.
        Want::LookInto => Ok(Looked::of(status.on_bricks)),
        Want::First(0) => Ok(Looked::NoStore),
        _ if !local && instance.store().is_none() && !evidence::is_foreign(&status, job.gfid) => {
            Err(Failure::NoStore)
        }
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

fn begin(instance: &Instance, job: &Job) -> Result<File, Failure> {
    File::of(instance.this, &job.inode, job.gfid, job)
}

/// How often a job whose lock was lost starts again.
const AGAIN: usize = 3;

/// How long a lookup waits for the end of a recall that has left marks behind.
const MOMENT: Duration = Duration::from_secs(5);

/// Does what the job's waiters wait for.
///
/// # Errors
/// Why not; the file is then as cold as it was, or what another client made of it.
pub fn run(instance: &Arc<Instance>, job: &Job) -> Result<(), Failure> {
    instance.objects.let_readers_first(job.gfid);
    let File { child, loc } = begin(instance, job)?;
    let begun = Instant::now();
    let go_on = || match job.want {
        _ if job.cancelled.load(Ordering::Acquire) != 0 => Err(Failure::Cancelled),
        Want::LookInto => Err(Failure::Locked),
        Want::Tidy if begun.elapsed() > MOMENT => Err(Failure::Locked),
        _ => Ok(()),
    };
    let mut left = AGAIN;
    loop {
        job.lease.begin(&instance.bricks);
        let outcome = child.lock(&loc, go_on).and_then(|lock| {
            let outcome = with_lock(instance, job, &child, &loc);
            job.lease.end(&child, &loc);
            drop(lock);
            outcome
        });
        match outcome {
            // Whoever had the lock meanwhile may have done it all; if not, it starts again.
            Err(Failure::LockLost) if left > 0 => left -= 1,
            // A lookup goes on without: what it shows then is what was archived.
            Err(failure) if matches!(job.want, Want::Tidy | Want::LookInto) => {
                log::debug!("{}: not looked into: {failure}", loc.path());
                return Ok(());
            }
            outcome => return outcome,
        }
    }
}

/// A descriptor of the file, which may have lost its last name while somebody has it open.
pub(super) fn open(child: &Child, job: &Job, loc: &Loc) -> Result<Fd, Failure> {
    match child.open(&job.inode, loc) {
        Err(failure) if matches!(failure.errno().get(), libc::ENOENT | libc::ESTALE) => {
            Fd::anonymous(&job.inode)
        }
        opened => opened,
    }
}

/// A descriptor for few operations. The host finds a file by its inode then, which must have the file's identity.
fn open_briefly(child: &Child, job: &Job, loc: &Loc) -> Result<Fd, Failure> {
    if job.inode.gfid().is_none() {
        open(child, job, loc)
    } else {
        Fd::anonymous(&job.inode)
    }
}

fn with_lock(instance: &Arc<Instance>, job: &Job, child: &Child, loc: &Loc) -> Result<(), Failure> {
    let status = healed(instance, child, loc, job)?;
    match (status.state, job.want) {
        (State::Local, _) => {
            if status.has_left_overs {
                let fd = open(child, job, loc)?;
                tidy(instance, child, &fd)?;
            }
            job.inode.learn(instance.this, Known::Local);
            Ok(())
        }
        (_, Want::Tidy | Want::LookInto) => Ok(()),
        (State::Remote, Want::Bytes | Want::Look | Want::Read) => {
            bring_back(instance, job, child, loc, &status, None)
        }
        (State::Remote, Want::First(keep)) => cut::run(instance, job, child, loc, &status, keep),
        _ => Err(Failure::Damaged("the bricks cannot tell its state")),
    }
}

/// The file's state, after mending what a client that died has left. We hold the lock, so nobody is at work.
fn healed(
    instance: &Arc<Instance>,
    child: &Child,
    loc: &Loc,
    job: &Job,
) -> Result<Status, Failure> {
    let mut status = child.status(loc)?;
    match status.state {
        State::Repair => {
            let fd = open(child, job, loc)?;
            evidence::settle(instance, job, child, loc, &fd, &status)?;
            status = child.status(loc)?;
        }
        // The bytes are whole: a commit did not come to its end, or a hand-shake did not begin with cutting. Recalls of
        // the stock translator that died next to their end leave this, too.
        State::Downloading => {
            let fd = open(child, job, loc)?;
            remove(instance, child, &fd, "unmark", &xattr::COMMIT)?;
            status = child.status(loc)?;
        }
        State::Local | State::Remote | State::Error => {}
    }
    Ok(status)
}

/// Fetches the file, or as much of it as `cutter` will need, and commits.
///
/// # Errors
/// Why not; the file is cold then, or what another client made of it.
pub(super) fn bring_back(
    instance: &Arc<Instance>,
    job: &Job,
    child: &Child,
    loc: &Loc,
    status: &Status,
    cutter: Option<&mut Cutter>,
) -> Result<(), Failure> {
    let store = instance.store().ok_or(Failure::NoStore)?;
    let size = match job.want {
        // A plugin of the stock ABI brings the whole file or nothing.
        Want::First(keep) if store.can_fetch() => keep.min(status.attributes.size()),
        _ => status.attributes.size(),
    };
    let config = instance.config();
    let _room = if config.over_limits {
        None
    } else {
        let space = &instance.engine.space;
        space.take(child, loc, size, config.keep_free)?
    };
    // What comes in one write is on a brick or not, and needs no mark to be told from a file that is whole: bytes of a
    // cold file.
    let one_write = store.can_fetch() && size <= PIECE;
    let fd = if one_write {
        open_briefly(child, job, loc)?
    } else {
        let fd = open(child, job, loc)?;
        job.lease.mark(child, &fd, job.gfid, status)?;
        fd
    };
    let ours = || job.lease.check(&instance.bricks, child, loc);
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
            fetch(instance, &store, job, &fd, status, size)
        })
        .and_then(|written| {
            moved |= written.moved_mtime;
            commit(instance, child, &fd, status, moved, cutter, ours)
        });
    // Readers that were served beside it are answered before anything is cut, and before somebody else may cut.
    job.end_reading();
    // It is not needed any more, or what is in memory of it may be what is wrong.
    let refused = done.as_ref().err().and_then(refuses_readers);
    instance.objects.close(job.gfid, refused);
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
    job.inode.learn(instance.this, Known::Local);
    job.resume();
    log::debug!("{}: recalled, {size} bytes", loc.path());
    let counters = &instance.engine.counters;
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
fn fetch(
    instance: &Instance,
    store: &Arc<LoadedStore>,
    job: &Job,
    fd: &Fd,
    status: &Status,
    size: u64,
) -> Result<Written, Failure> {
    let config = instance.config();
    let tracker = Tracker::open(fd.address(), size, config.window);
    job.follow(&tracker);
    if !job.lease.is_sure(&instance.bricks) {
        tracker.distrust();
    }
    let result = if store.can_fetch() {
        let fetched = instance
            .objects
            .open(instance.this, store, job.gfid, status)
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
                    instance,
                    job,
                    fd,
                    tracker: &tracker,
                    ranges: config.ranges,
                    give_up: config.give_up,
                };
                parts::fetch(&object, &parts, &target)
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
    instance: &Instance,
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
    }
    // Wherever a brick dies in this, it has all the bytes, and who looks next goes on with it. Without the size it is not
    // cut any more, and without cs.remote it is local.
    remove(instance, child, fd, "commit", &xattr::COMMIT)
}

/// Removes what a cold file has and a local one has not, last the one by which a lookup sees that there are more.
///
/// # Errors
/// [`Failure::Brick`].
pub(super) fn tidy(instance: &Instance, child: &Child, fd: &Fd) -> Result<(), Failure> {
    remove(instance, child, fd, "tidy up", xattr::LEFT_OVERS)
}

/// Removes attributes in one operation, which does it in any order, or, where the volume cannot do that, in this one.
///
/// # Errors
/// [`Failure::Brick`].
pub(super) fn remove(
    instance: &Instance,
    child: &Child,
    fd: &Fd,
    step: &'static str,
    names: &[&CStr],
) -> Result<(), Failure> {
    if instance.bricks.remove_many() {
        match child.remove_all(fd, step, names) {
            // cluster/distribute with several subvolumes adds a name of its own, which the bricks do not take.
            Err(failure) if failure.errno() == Errno::EOPNOTSUPP => instance.bricks.remove_singly(),
            result => return result,
        }
    }
    names
        .iter()
        .try_for_each(|name| child.remove(fd, step, name))
}
