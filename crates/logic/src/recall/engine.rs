// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Starts and ends jobs, at most one for each file, and resumes or fails the operations that wait for them.

#![forbid(unsafe_code)]

use cloudsync_format::jobs::{Stage, Waiter};
use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::crash;
use crate::decision::Want;
use crate::errno::{Errno, Failure};
use crate::gfid::Gfid;
use crate::host::{Host, Inode as _, LIMIT, Pool, Ticket as _};
use crate::recall::job::Job;
use crate::recall::recalls::{Checked, Recalls};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::work::busy::Busy;
use crate::work::task::{Home, task};

type InodeOf<V> = <<V as Recalls>::Host as Host>::Inode;
type TicketOf<V> = <<V as Recalls>::Host as Host>::Ticket;
type JobOf<V> = Job<<V as Recalls>::Host>;

/// The jobs of one volume.
#[derive(Debug)]
pub struct Engine<V: Recalls> {
    /// The volume whose files are recalled.
    pub volume: Arc<V>,
    jobs: Mutex<HashMap<Gfid, Arc<JobOf<V>>>>,
    /// No job starts any more.
    ending: AtomicBool,
    /// When a job last found the bricks full.
    full: Mutex<Option<Instant>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct NewJob<V: Recalls> {
    inode: InodeOf<V>,
    gfid: Gfid,
    want: Want,
    by: Option<Waiter>,
    requested: bool,
    /// Known to be small: skips the check without the lock.
    small: bool,
}

fn start_or_join<V: Recalls>(engine: &Arc<Engine<V>>, new: NewJob<V>, ticket: Option<TicketOf<V>>) {
    let NewJob {
        inode,
        gfid,
        want,
        by,
        requested,
        small,
    } = new;
    let mut jobs = lock(&engine.jobs);
    if engine.ending.load(Ordering::Acquire) {
        drop(jobs);
        if let Some(ticket) = ticket {
            ticket.fail(Errno::ECANCELED);
        }
        return;
    }
    if let Some(job) = jobs.get(&gfid) {
        // Under the map's lock: a job leaves the map before its waiters are taken, so none is lost.
        job.join(ticket);
        return;
    }
    // Counts the job until its task does; dropped after our reference to the job.
    let _running = engine.volume.busy().begin();
    let job = Arc::new(Job::new(gfid, inode, want, by, requested, ticket));
    jobs.insert(gfid, Arc::clone(&job));
    drop(jobs);
    if small {
        let recalls = engine.volume.recalls();
        run_on(engine, &job, Pool::Small, recalls, run);
    } else {
        run_on(engine, &job, Pool::Bricks, LIMIT, check);
    }
}

/// Runs a step of a job on a thread of the pool.
fn run_on<V: Recalls>(
    engine: &Arc<Engine<V>>,
    job: &Arc<JobOf<V>>,
    pool: Pool,
    limit: usize,
    step: fn(&Arc<Engine<V>>, &Arc<JobOf<V>>),
) {
    // Enters the translator, because dropping a job releases references to the host's objects.
    let task = task(engine, Arc::clone(job), move |engine, job| {
        step(engine, &job);
    });
    if V::Host::run(pool, limit, task).is_err() {
        let failure = Failure::Brick {
            step: "start a thread",
            errno: Errno::ENOMEM,
        };
        finish(engine, job, Err(failure));
    }
}

fn check<V: Recalls>(engine: &Arc<Engine<V>>, job: &Arc<JobOf<V>>) {
    job.enter(Stage::Bricks);
    let checked = V::Host::catch(Err(Failure::Bug), || engine.volume.check(job));
    let recalls = engine.volume.recalls();
    job.enter(Stage::Queued);
    // Small files have threads of their own, so that they do not wait for large ones.
    let large = (recalls / 2).max(1);
    match checked {
        Ok(Checked::Done) => finish(engine, job, Ok(())),
        Ok(Checked::Small) => run_on(engine, job, Pool::Small, recalls, run),
        Ok(Checked::Large) => run_on(engine, job, Pool::Large, large, run),
        Ok(Checked::NoStore) => run_on(engine, job, Pool::Locks, LIMIT, run),
        // The file is not known to be cold, or a lookup waits: they must not fail because our own query failed.
        Err(failure) if matches!(job.want, Want::Check | Want::Tidy | Want::Inspect) => {
            log::debug!("{}: {failure}", job.inode.path());
            finish(engine, job, Ok(()));
        }
        Err(failure) => finish(engine, job, Err(failure)),
    }
}

fn run<V: Recalls>(engine: &Arc<Engine<V>>, job: &Arc<JobOf<V>>) {
    let outcome = V::Host::catch(Err(Failure::Bug), || engine.volume.run(job));
    finish(engine, job, outcome);
}

/// Ends the job, and resumes or fails the operations that wait for it.
fn finish<V: Recalls>(engine: &Arc<Engine<V>>, job: &Arc<JobOf<V>>, outcome: Result<(), Failure>) {
    let waiters = {
        let mut jobs = lock(&engine.jobs);
        jobs.remove(&job.gfid);
        job.take_waiters()
    };
    if let Err(failure) = &outcome {
        engine.volume.failed(job, failure);
        log::log!(
            failure.level(),
            id = failure.message();
            "{} (gfid {}): recall failed, the file stays cold; {} waiting operation(s) get '{}': {failure}",
            job.inode.path(),
            job.gfid,
            waiters.len(),
            failure.errno(),
        );
    }
    let over_budget = matches!(outcome, Err(Failure::OverBudget(_)));
    let full = match &outcome {
        // A store that answers the same errno says nothing about the bricks.
        Err(Failure::Brick { errno, .. }) => errno.is_full(),
        Err(Failure::TooLarge(_)) => true,
        _ => false,
    };
    // A file larger than its bricks does not mean that the bricks are full.
    if full && !matches!(outcome, Err(Failure::TooLarge(_))) {
        *lock(&engine.full) = Some(Instant::now());
    }
    let can_serve = (full || over_budget) && engine.volume.can_serve();
    let _step = crash::step("resume");
    // No lock is held here: resuming winds and unwinds, and new operations may arrive on this thread at once.
    for ticket in waiters {
        match &outcome {
            Ok(()) => ticket.again(),
            // There is no room for the file, or no budget, but a read can be served without.
            Err(_) if can_serve && ticket.is_read() => {
                ticket.read_again();
            }
            Err(failure) => ticket.fail(failure.errno()),
        }
    }
}

impl<V: Recalls> Engine<V> {
    /// Creates an engine without jobs.
    #[must_use]
    pub fn new(volume: &Arc<V>) -> Arc<Self> {
        Arc::new(Self {
            volume: Arc::clone(volume),
            jobs: Mutex::default(),
            ending: AtomicBool::new(false),
            full: Mutex::default(),
        })
    }

    /// Parks `ticket` until `want` holds for the file of `inode`. `gfid`: the file's, if known from an answer;
    /// otherwise the inode's is used. Never blocks.
    pub fn park(
        self: &Arc<Self>,
        ticket: TicketOf<V>,
        want: Want,
        inode: Option<InodeOf<V>>,
        gfid: Option<Gfid>,
    ) {
        match inode {
            Some(inode) => {
                let gfid = gfid.unwrap_or_else(|| inode.gfid());
                let new = NewJob {
                    inode,
                    gfid,
                    want,
                    by: None,
                    requested: false,
                    small: false,
                };
                start_or_join(self, new, Some(ticket));
            }
            None => ticket.fail(Errno::EINVAL),
        }
    }

    /// Parks a read of a small file that was cold when last checked, until it is local: taking the lock at once is
    /// cheaper than checking again first. Never blocks.
    pub fn park_small(self: &Arc<Self>, ticket: TicketOf<V>, inode: InodeOf<V>) {
        let new = NewJob {
            gfid: inode.gfid(),
            inode,
            want: Want::Bytes,
            by: None,
            requested: false,
            small: true,
        };
        start_or_join(self, new, Some(ticket));
    }

    /// Starts a recall of the file, unless one is running. Nothing waits for it. `by`: whose operation causes it.
    /// `requested`: a user requested the recall, so it continues even if nobody reads the file.
    pub fn start(self: &Arc<Self>, inode: InodeOf<V>, by: Waiter, requested: bool) {
        let gfid = inode.gfid();
        let want = Want::Bytes;
        let new = NewJob {
            inode,
            gfid,
            want,
            by: Some(by),
            requested,
            small: false,
        };
        start_or_join(self, new, None);
    }

    /// Whether the bricks were full a moment ago.
    #[must_use]
    pub fn is_full(&self) -> bool {
        /// How long the bricks count as full.
        const RECENT: Duration = Duration::from_secs(10);
        lock(&self.full).is_some_and(|when| when.elapsed() < RECENT)
    }

    /// Cancels every job; their waiters get ECANCELED.
    pub fn cancel_all(&self) {
        for job in lock(&self.jobs).values() {
            job.cancel();
        }
    }

    /// Shuts down: cancels every job, and starts no more.
    pub fn end(&self) {
        let jobs = lock(&self.jobs);
        self.ending.store(true, Ordering::Release);
        for job in jobs.values() {
            job.cancel();
        }
    }

    /// A brick disconnected: pauses the recalls' writes until each has verified that it still has its lock.
    pub fn a_brick_disconnected(&self) {
        for job in lock(&self.jobs).values() {
            job.lose();
        }
    }

    /// The job on a file, if there is one.
    #[must_use]
    pub fn job(&self, gfid: Gfid) -> Option<Arc<JobOf<V>>> {
        lock(&self.jobs).get(&gfid).map(Arc::clone)
    }

    /// The jobs, the longest-running first; `None` if they cannot be determined without blocking.
    #[must_use]
    pub fn jobs(&self) -> Option<Vec<Arc<JobOf<V>>>> {
        let jobs = self.jobs.try_lock().ok()?;
        let mut jobs: Vec<_> = jobs.values().map(Arc::clone).collect();
        jobs.sort_by_key(|job| job.started);
        Some(jobs)
    }

    /// The number of jobs, and of operations that wait for them; `None` if it cannot be determined without blocking.
    #[must_use]
    pub fn load(&self) -> Option<(usize, usize)> {
        let jobs = self.jobs.try_lock().ok()?;
        let waiting = jobs.values().filter_map(|job| job.waiting()).sum();
        Some((jobs.len(), waiting))
    }
}

impl<V: Recalls> Home for Engine<V> {
    type Entered = V::Entered;

    fn enter(&self) -> V::Entered {
        self.volume.enter()
    }

    fn busy(&self) -> &Arc<Busy> {
        self.volume.busy()
    }
}
