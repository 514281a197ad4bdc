// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One job for each file: who waits for it, who is served beside it, and what becomes of them.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::errno::{Errno, Failure};
use crate::host::crash;
use crate::host::guard;
use crate::host::inode::{Gfid, Inode};
use crate::host::ticket::Ticket;
use crate::instance::Instance;
use crate::objects::object::Object;
use crate::recall::job::{self, Looked};
use crate::recall::lease::Lease;
use crate::recall::parts::Parts;
use crate::recall::space::Space;
use crate::recall::tracker::Tracker;
use crate::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::sys::glusterfs_fop_t as fop;
use crate::work::busy::Busy;
use crate::work::task::task;
use crate::work::workers::{self, Pool};

/// What an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The file must be local.
    Bytes,
    /// The same, if it is known to be cold: nothing has said so.
    Look,
    /// Some bytes of it, wherever they are.
    Read,
    /// The file must be local with its first bytes, so many of them: the operation cuts what is behind.
    First(u64),
    /// What a recall left behind next to its end must be tidied up.
    Tidy,
    /// Bytes in a cold file that nothing explains must be looked into, if nobody is at work on it.
    LookInto,
}

/// A job and who waits for it.
#[derive(Debug)]
pub struct Job {
    /// The file.
    pub gfid: Gfid,
    /// Its inode in this client; a lookup's own is not linked yet.
    pub inode: Inode,
    /// What its first waiter waits for.
    pub want: Want,
    /// Whether it has the file's lock.
    pub lease: Lease,
    /// Not 0 once it is cancelled; a plugin may look at it.
    pub cancelled: AtomicI32,
    /// Somebody asked for the file itself, and does not wait.
    asked: bool,
    /// When somebody last read beside it.
    read: Mutex<Option<Instant>>,
    /// The writes of the recall, while it fetches.
    tracker: Mutex<Option<Arc<Tracker>>>,
    serving: Mutex<Option<Serving>>,
    waiters: Mutex<Vec<Ticket>>,
}

/// What a recall serves readers with, while it holds the lock and brings the whole file.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Which bytes are on the bricks.
    pub tracker: Arc<Tracker>,
    /// Where the others come from.
    pub object: Arc<Object>,
    /// In which order.
    pub parts: Arc<Parts>,
}

impl Serving {
    /// Serves a read. Never blocks.
    pub fn read(&self, ticket: Ticket) {
        let range = self.object.range(&ticket);
        match self.tracker.read(range.clone(), &self.object.attributes) {
            Some(reading) => ticket.wind_during(Box::new(reading)),
            None => {
                self.parts.pull(range.start);
                self.object.read(ticket, false);
            }
        }
    }
}

/// How long a recall counts as wanted after a read beside it.
const LINGER: Duration = Duration::from_secs(5);

/// The jobs of one instance.
#[derive(Debug, Default)]
pub struct Engine {
    jobs: Mutex<HashMap<Gfid, Arc<Job>>>,
    /// Threads that work for a job or end one, and what begins one.
    busy: Arc<Busy>,
    /// No more of them.
    ending: AtomicBool,
    /// When the bricks were last full.
    full: Mutex<Option<Instant>>,
    /// Room for what is coming.
    pub space: Space,
    /// What happened so far.
    pub counters: Counters,
}

/// What happened so far, for the statedump.
#[derive(Debug, Default)]
pub struct Counters {
    /// Files brought back.
    pub recalled: AtomicU64,
    /// Bytes brought back.
    pub recalled_bytes: AtomicU64,
    /// Recalls that failed.
    pub failed: AtomicU64,
    /// Files cut by the hand-shake.
    pub archived: AtomicU64,
    /// Files that became local with bytes that no recall had written.
    pub kept: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Parks `ticket` until `want` holds for the file of `inode`, whose identity is `gfid` if an answer has told it, else
/// the inode's. Never blocks.
pub fn park(
    instance: &Arc<Instance>,
    ticket: Ticket,
    want: Want,
    inode: Option<Inode>,
    gfid: Option<Gfid>,
) {
    match inode {
        Some(inode) => {
            let gfid = gfid.unwrap_or_else(|| inode.gfid());
            let new = NewJob {
                inode,
                gfid,
                want,
                asked: false,
                small: false,
            };
            start_or_join(instance, new, Some(ticket));
        }
        None => ticket.fail(Errno::EINVAL),
    }
}

/// Parks a read until the file is local, which was cold and of one part when somebody last looked: then taking the lock
/// is cheaper than to look again first. Never blocks.
pub fn park_small(instance: &Arc<Instance>, ticket: Ticket, inode: Inode) {
    let new = NewJob {
        gfid: inode.gfid(),
        inode,
        want: Want::Bytes,
        asked: false,
        small: true,
    };
    start_or_join(instance, new, Some(ticket));
}

/// Starts bringing the file back, if that is not under way, and waits for nothing. `asked`: somebody wants the file to
/// come, and not only to read.
pub fn start(instance: &Arc<Instance>, inode: Inode, asked: bool) {
    let gfid = inode.gfid();
    let want = Want::Bytes;
    let new = NewJob {
        inode,
        gfid,
        want,
        asked,
        small: false,
    };
    start_or_join(instance, new, None);
}

struct NewJob {
    inode: Inode,
    gfid: Gfid,
    want: Want,
    asked: bool,
    /// A look would say so.
    small: bool,
}

fn start_or_join(instance: &Arc<Instance>, new: NewJob, ticket: Option<Ticket>) {
    let NewJob {
        inode,
        gfid,
        want,
        asked,
        small,
    } = new;
    let mut jobs = lock(&instance.engine.jobs);
    if instance.engine.ending.load(Ordering::Acquire) {
        drop(jobs);
        if let Some(ticket) = ticket {
            ticket.fail(Errno::ECANCELED);
        }
        return;
    }
    if let Some(job) = jobs.get(&gfid) {
        // Under the lock of the map: a job leaves the map before it takes its waiters.
        lock(&job.waiters).extend(ticket);
        job.touch();
        return;
    }
    // Until a thread counts for it; dropped after our reference to the job.
    let _beginning = instance.engine.busy.begin();
    let job = Arc::new(Job {
        gfid,
        inode,
        want,
        lease: Lease::default(),
        cancelled: AtomicI32::new(0),
        asked,
        read: Mutex::new((!asked).then(Instant::now)),
        tracker: Mutex::new(None),
        serving: Mutex::new(None),
        waiters: Mutex::new(ticket.into_iter().collect()),
    });
    jobs.insert(gfid, Arc::clone(&job));
    drop(jobs);
    if small {
        let recalls = instance.config().recalls;
        on_a_thread(instance, &job, &workers::SMALL, recalls, run);
    } else {
        on_a_thread(instance, &job, &workers::BRICKS, workers::LIMIT, look);
    }
}

/// Runs a step of a job on a thread of that pool.
fn on_a_thread(
    instance: &Arc<Instance>,
    job: &Arc<Job>,
    pool: &'static Pool,
    limit: usize,
    step: fn(&Arc<Instance>, &Arc<Job>),
) {
    // A job gives references back to the host, which must know who does.
    let task = task(instance, Arc::clone(job), move |instance, job| {
        step(instance, &job);
    });
    if pool.run(limit, task).is_err() {
        let failure = Failure::Brick {
            step: "start a thread",
            errno: Errno::ENOMEM,
        };
        finish(instance, job, Err(failure));
    }
}

fn look(instance: &Arc<Instance>, job: &Arc<Job>) {
    let looked = guard::catch(Err(Failure::Bug), || job::look(instance, job));
    let recalls = instance.config().recalls;
    // Files of one part have threads of their own: they must not wait until large ones have come.
    let large = (recalls / 2).max(1);
    match looked {
        Ok(Looked::Done) => finish(instance, job, Ok(())),
        Ok(Looked::Small) => on_a_thread(instance, job, &workers::SMALL, recalls, run),
        Ok(Looked::Large) => on_a_thread(instance, job, &workers::LARGE, large, run),
        Ok(Looked::NoStore) => on_a_thread(instance, job, &workers::LOCKS, workers::LIMIT, run),
        // Nobody said that the file is cold: its operations must not fail over a question of ours.
        Err(failure) if job.want == Want::Look => {
            log::debug!("{}: {failure}", job.inode.path());
            finish(instance, job, Ok(()));
        }
        Err(failure) => finish(instance, job, Err(failure)),
    }
}

fn run(instance: &Arc<Instance>, job: &Arc<Job>) {
    let outcome = guard::catch(Err(Failure::Bug), || job::run(instance, job));
    finish(instance, job, outcome);
}

/// Ends the job and answers or resumes everybody who waits for it.
fn finish(instance: &Arc<Instance>, job: &Arc<Job>, outcome: Result<(), Failure>) {
    let engine = &instance.engine;
    let waiters = {
        let mut jobs = lock(&engine.jobs);
        jobs.remove(&job.gfid);
        std::mem::take(&mut *lock(&job.waiters))
    };
    if let Err(failure) = &outcome {
        engine.counters.failed.fetch_add(1, Ordering::Relaxed);
        log::warn!(
            "{} (gfid {}): not recalled, it stays cold; {} waiting operation(s) get '{}': {failure}",
            job.inode.path(),
            job.gfid,
            waiters.len(),
            failure.errno(),
        );
    }
    let full = matches!(&outcome, Err(failure) if is_full(failure.errno()));
    // Others may have room though this one never will.
    if full && !matches!(outcome, Err(Failure::TooLarge(_))) {
        *lock(&engine.full) = Some(Instant::now());
    }
    let can_serve = full && instance.store().is_some_and(|store| store.can_fetch());
    let _step = crash::step("resume");
    // No lock is held: resuming winds and unwinds, and may bring new operations back to us at once.
    for ticket in waiters {
        match &outcome {
            Ok(()) => ticket.again(),
            // There is no room for the file, but a reader needs none.
            Err(_) if can_serve && ticket.fop() == fop::GF_FOP_READ => {
                ticket.read_again();
            }
            Err(failure) => ticket.fail(failure.errno()),
        }
    }
}

fn is_full(errno: Errno) -> bool {
    matches!(errno.get(), libc::ENOSPC | libc::EDQUOT)
}

impl Job {
    /// Takes the operation that cuts the file, and that the job was started for, from those that wait.
    #[must_use]
    pub fn take_cutter(&self) -> Option<Ticket> {
        let cuts = |ticket: &Ticket| {
            matches!(
                ticket.fop(),
                fop::GF_FOP_TRUNCATE | fop::GF_FOP_FTRUNCATE | fop::GF_FOP_OPEN
            )
        };
        let mut waiters = lock(&self.waiters);
        // It came first.
        let place = waiters.iter().position(cuts)?;
        Some(waiters.remove(place))
    }

    /// The file is local: whoever waits for it need not wait for the job's end.
    pub fn resume(&self) {
        let waiters = std::mem::take(&mut *lock(&self.waiters));
        for ticket in waiters {
            ticket.again();
        }
    }

    /// It waits as before.
    pub fn wait_again(&self, ticket: Ticket) {
        lock(&self.waiters).insert(0, ticket);
    }

    /// Somebody reads beside it.
    fn touch(&self) {
        *lock(&self.read) = Some(Instant::now());
    }

    /// Whether somebody asked for the file, an operation waits for it, or somebody has just read what it brings.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.asked
            || lock(&self.read).is_some_and(|when| when.elapsed() < LINGER)
            || !lock(&self.waiters).is_empty()
    }

    /// Readers are served from now on, or, with `None`, not any more.
    pub fn serve(&self, serving: Option<Serving>) {
        let old = std::mem::replace(&mut *lock(&self.serving), serving);
        drop(old);
    }

    /// Those that wait for the file and only read need not wait for it any longer: all its bytes are in memory. For the
    /// job's own thread.
    pub fn serve_readers(&self) {
        let mut waiters = lock(&self.waiters);
        let reads = waiters.extract_if(.., |ticket| ticket.fop() == fop::GF_FOP_READ);
        let reads: Vec<_> = reads.collect();
        drop(waiters);
        // In this order: who came after the lock was lost may have seen what another client wrote.
        let Some(serving) = self.serving() else {
            lock(&self.waiters).extend(reads);
            return;
        };
        for ticket in reads {
            serving.read(ticket);
        }
    }

    /// Readers are not served any more, and those that are on the bricks are waited for.
    pub fn end_reading(&self) {
        self.serve(None);
        let tracker = lock(&self.tracker).clone();
        if let Some(tracker) = tracker {
            tracker.end_reading();
        }
    }

    /// What readers are served with.
    #[must_use]
    pub fn serving(&self) -> Option<Serving> {
        let serving = lock(&self.serving).clone();
        let serving = serving.filter(|serving| !serving.tracker.is_distrusted());
        if serving.is_some() {
            self.touch();
        }
        serving
    }

    /// Makes it end soon, with ECANCELED for everybody who waits for it.
    pub fn cancel(&self) {
        self.cancelled.store(1, Ordering::Release);
        if let Some(tracker) = &*lock(&self.tracker) {
            tracker.cancel();
        }
    }

    /// Its writes go through `tracker` from now on.
    pub fn follow(&self, tracker: &Arc<Tracker>) {
        *lock(&self.tracker) = Some(Arc::clone(tracker));
        // Cancelled in between?
        if self.cancelled.load(Ordering::Acquire) != 0 {
            tracker.cancel();
        }
    }

    /// Bytes that are on the bricks, and bytes in all; `None` while it does not fetch.
    #[must_use]
    pub fn progress(&self) -> Option<(u64, u64)> {
        lock(&self.tracker)
            .as_ref()
            .map(|tracker| (tracker.written().bytes, tracker.size()))
    }
}

impl Engine {
    /// No jobs; what works for them is counted there.
    #[must_use]
    pub fn new(busy: &Arc<Busy>) -> Self {
        Self {
            busy: Arc::clone(busy),
            ..Self::default()
        }
    }

    /// Whether the bricks had no room a moment ago.
    #[must_use]
    pub fn is_full(&self) -> bool {
        /// Room is looked for again after so long.
        const AGAIN: Duration = Duration::from_secs(10);
        lock(&self.full).is_some_and(|when| when.elapsed() < AGAIN)
    }

    /// Cancels every job: their waiters get ECANCELED.
    pub fn cancel_all(&self) {
        for job in lock(&self.jobs).values() {
            job.cancel();
        }
    }

    /// The instance ends: so do its jobs, and none begins any more.
    pub fn end(&self) {
        let jobs = lock(&self.jobs);
        self.ending.store(true, Ordering::Release);
        for job in jobs.values() {
            job.cancel();
        }
    }

    /// A brick went away: no recall writes before it has made sure that it still has its lock.
    pub fn distrust_locks(&self) {
        for job in lock(&self.jobs).values() {
            if let Some(tracker) = &*lock(&job.tracker) {
                tracker.distrust();
            }
        }
    }

    /// The job on a file, if there is one.
    #[must_use]
    pub fn job(&self, gfid: Gfid) -> Option<Arc<Job>> {
        lock(&self.jobs).get(&gfid).map(Arc::clone)
    }

    /// How many jobs there are, and how many operations wait for them; `None` when that cannot be told without
    /// waiting.
    #[must_use]
    pub fn load(&self) -> Option<(usize, usize)> {
        let jobs = self.jobs.try_lock().ok()?;
        let waiting = jobs
            .values()
            .filter_map(|job| Some(job.waiters.try_lock().ok()?.len()))
            .sum();
        Some((jobs.len(), waiting))
    }
}
