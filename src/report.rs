// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a client tells about itself: its metrics, with the loads of this moment, its jobs, and the lines of a statedump.
//! Waits for no lock for long that a stuck job could hold: an administrator asks while operations hang.

#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::time::Duration;

use cloudsync_format::jobs;
use cloudsync_logic::budget;
use cloudsync_logic::errno::Errno;
use cloudsync_logic::objects::depths::DEPTHS;
use cloudsync_logic::objects::limits::LIMITS;
use cloudsync_metrics::now::Now;

use crate::bricks::Check;
use crate::recall::engine::Engine;
use crate::work::workers;

/// Tries what does not wait for a lock: locks are held for microseconds, except by a job that is stuck.
fn attempt<T>(tries: usize, ask: impl Fn() -> Option<T>) -> Option<T> {
    const PAUSE: Duration = Duration::from_millis(2);
    for attempt in 1..=tries {
        let answer = ask();
        if answer.is_some() {
            return answer;
        }
        if attempt < tries {
            std::thread::sleep(PAUSE);
        }
    }
    None
}

/// Tries for somebody who waits for the answer.
const PATIENTLY: usize = 50;

/// What a client is doing now; `None` for what cannot be determined without blocking.
struct Loads {
    /// Jobs, and the operations that wait for them.
    jobs: Option<(usize, usize)>,
    /// Recalls that wait for a thread.
    queued: usize,
    /// Remote reads that wait.
    reads: Option<usize>,
    memory: u64,
    connections: usize,
    budget: Option<budget::Report>,
}

impl Loads {
    fn now(engine: &Engine, tries: usize) -> Self {
        let volume = &engine.volume;
        let reads = || Some(volume.objects.waiting()? + volume.readings.waiting()?);
        let (memory, connections) = LIMITS.used();
        Self {
            jobs: attempt(tries, || engine.load()),
            queued: workers::SMALL.waiting() + workers::LARGE.waiting(),
            reads: attempt(tries, reads),
            memory,
            connections,
            budget: attempt(tries, || volume.allowance.budget.report()),
        }
    }
}

/// The client's metrics, as OpenMetrics text.
#[must_use]
pub fn metrics(engine: &Engine) -> String {
    let loads = Loads::now(engine, PATIENTLY);
    let (jobs, operations_waiting) = loads.jobs.unwrap_or_default();
    let budget = loads.budget.unwrap_or_default();
    let volume = &engine.volume;
    let config = volume.config();
    let count = |number: usize| number as u64;
    volume.metrics.text(&Now {
        jobs: count(jobs),
        operations_waiting: count(operations_waiting),
        jobs_queued: count(loads.queued),
        reads_waiting: count(loads.reads.unwrap_or(0)),
        memory: (loads.memory, config.memory),
        connections: (count(loads.connections), count(config.connections)),
        small_files: (count(DEPTHS.small()), count(config.recalls)),
        parts: (count(DEPTHS.parts()), count(config.ranges)),
        budget: (budget.spent + budget.reserved, budget.limit),
        without_memory: LIMITS.refused(),
        brick_disconnects: volume.bricks.disconnects(),
        store: volume.store_name(None),
    })
}

/// The lines for the statedump, which is taken while operations hang: waits for no lock.
#[must_use]
pub fn statedump(engine: &Engine) -> Vec<(&'static CStr, String)> {
    let volume = &engine.volume;
    let (loads, sums) = (Loads::now(engine, 1), volume.metrics.sums());
    let number =
        |value: Option<usize>| value.map_or_else(|| String::from("?"), |value| value.to_string());
    let store = volume.store_name(None);
    let store = if store.is_empty() {
        String::from("none")
    } else {
        store
    };
    let check = match volume.bricks.check() {
        Check::Unknown => "?",
        Check::Done => "yes",
        Check::Skipped => "no",
    };
    let of_budget = |part: fn(&budget::Report) -> u64| {
        let part = loads.budget.as_ref().map(part);
        part.map_or_else(|| String::from("?"), |part| part.to_string())
    };
    vec![
        (c"store", store),
        (c"jobs", number(loads.jobs.map(|jobs| jobs.0))),
        (c"operations-waiting", number(loads.jobs.map(|jobs| jobs.1))),
        (c"jobs-without-a-thread", loads.queued.to_string()),
        (c"bricks-check-the-state", check.to_owned()),
        (
            c"brick-disconnects",
            volume.bricks.disconnects().to_string(),
        ),
        (c"memory-of-objects", loads.memory.to_string()),
        (c"connections", loads.connections.to_string()),
        (c"depth-of-small-files", DEPTHS.small().to_string()),
        (c"depth-of-parts", DEPTHS.parts().to_string()),
        (c"connections-without-memory", LIMITS.refused().to_string()),
        (c"reads-waiting", number(loads.reads)),
        (c"reads-from-the-store", sums.remote_reads.to_string()),
        (c"files-recalled", sums.recalled.to_string()),
        (c"bytes-recalled", sums.recalled_bytes.to_string()),
        (c"recalls-failed", sums.failed.to_string()),
        (c"files-kept", sums.kept.to_string()),
        (c"files-archived", sums.archived.to_string()),
        (c"budget-bytes", of_budget(|budget| budget.limit)),
        (c"budget-spent", of_budget(|budget| budget.spent)),
        (c"budget-reserved", of_budget(|budget| budget.reserved)),
        (c"budget-refusals", of_budget(|budget| budget.refused)),
        (c"changes-of-options", sums.option_changes.to_string()),
    ]
}

/// The client's jobs: lines of [`cloudsync_format::jobs`], the longest-running first, as many as an attribute holds.
///
/// # Errors
/// EAGAIN: they cannot be determined without blocking.
pub fn jobs(engine: &Engine) -> Result<String, Errno> {
    // An attribute holds 64 KiB.
    const MOST: usize = 60 << 10;
    /// More are not listed.
    const WAITERS: usize = 32;
    let mut lines = String::new();
    for job in attempt(PATIENTLY, || engine.jobs()).ok_or(Errno::EAGAIN)? {
        let mut waiters = job.waiters();
        waiters.extend(engine.volume.objects.waiters(job.gfid));
        waiters.truncate(WAITERS);
        let line = jobs::Job {
            gfid: job.gfid.to_string(),
            progress: job.progress(),
            stage: job.stage(),
            milliseconds: u64::try_from(job.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            waiters,
            path: job.inode.path(),
        };
        let line = line.line() + "\n";
        if lines.len() + line.len() > MOST {
            break;
        }
        lines += &line;
    }
    Ok(lines)
}
