// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One job for each file: it starts, runs on threads of ours, and ends, and so do those who wait for it.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::bricks::space::Space;
use crate::decision::Want;
use crate::errno::{Errno, Failure};
use crate::host::crash;
use crate::host::guard;
use crate::host::inode::{Gfid, Inode};
use crate::host::ticket::Ticket;
use crate::instance::Instance;
use crate::recall::job::Job;
use crate::recall::steps::{self, Looked};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::sys::glusterfs_fop_t as fop;
use crate::work::busy::Busy;
use crate::work::task::task;
use crate::work::workers::{self, Pool};

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
        job.join(ticket);
        return;
    }
    // Until a thread counts for it; dropped after our reference to the job.
    let _beginning = instance.engine.busy.begin();
    let job = Arc::new(Job::new(gfid, inode, want, asked, ticket));
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
    let looked = guard::catch(Err(Failure::Bug), || steps::look(instance, job));
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
    let outcome = guard::catch(Err(Failure::Bug), || steps::run(instance, job));
    finish(instance, job, outcome);
}

/// Ends the job and answers or resumes everybody who waits for it.
fn finish(instance: &Arc<Instance>, job: &Arc<Job>, outcome: Result<(), Failure>) {
    let engine = &instance.engine;
    let waiters = {
        let mut jobs = lock(&engine.jobs);
        jobs.remove(&job.gfid);
        job.take_waiters()
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
            job.distrust();
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
        let waiting = jobs.values().filter_map(|job| job.waiting()).sum();
        Some((jobs.len(), waiting))
    }
}
