// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a client tells about itself: its metrics, with the loads of this moment, and its jobs. Waits for no lock for long
//! that a stuck job could hold: an administrator asks while operations hang.

#![forbid(unsafe_code)]

use std::time::Duration;

use cloudsync_format::jobs;
use cloudsync_logic::errno::Errno;
use cloudsync_logic::objects::depths::DEPTHS;
use cloudsync_logic::objects::limits::LIMITS;
use cloudsync_metrics::now::Now;

use crate::recall::engine::Engine;
use crate::work::workers;

/// Tries for a while what does not wait for a lock: locks are held for microseconds, except by a job that is stuck.
fn patiently<T>(ask: impl Fn() -> Option<T>) -> Option<T> {
    const TRIES: usize = 50;
    const PAUSE: Duration = Duration::from_millis(2);
    for _ in 0..TRIES {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        std::thread::sleep(PAUSE);
    }
    None
}

/// The client's metrics, as OpenMetrics text.
#[must_use]
pub fn metrics(engine: &Engine) -> String {
    let (volume, load) = (&engine.volume, patiently(|| engine.load()));
    let (jobs, operations_waiting) = load.unwrap_or_default();
    let objects = patiently(|| volume.objects.waiting());
    let others = patiently(|| volume.readings.waiting());
    let reads = objects.unwrap_or(0) + others.unwrap_or(0);
    let (memory, connections) = LIMITS.used();
    let config = volume.config();
    let [budget, spent, reserved, _] =
        patiently(|| volume.allowance.budget.report()).unwrap_or_default();
    let queued = workers::SMALL.waiting() + workers::LARGE.waiting();
    let store = volume.store();
    let count = |number: usize| number as u64;
    volume.metrics.text(&Now {
        jobs: count(jobs),
        operations_waiting: count(operations_waiting),
        jobs_queued: count(queued),
        reads_waiting: count(reads),
        memory: (memory, config.memory),
        connections: (count(connections), count(config.connections)),
        small_files: (count(DEPTHS.small()), count(config.recalls)),
        parts: (count(DEPTHS.parts()), count(config.ranges)),
        budget: (spent + reserved, budget),
        without_memory: LIMITS.refused(),
        brick_disconnects: volume.bricks.disconnects(),
        store: store.map_or_else(String::new, |store| store.name().to_owned()),
    })
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
    for job in patiently(|| engine.jobs()).ok_or(Errno::EAGAIN)? {
        let mut waiters = job.waiters();
        waiters.extend(engine.volume.objects.waiters(job.gfid));
        waiters.truncate(WAITERS);
        let line = jobs::Job {
            gfid: job.gfid.to_string(),
            progress: job.progress(),
            milliseconds: u64::try_from(job.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            waiters,
            path: job.inode.path(),
        };
        let line = line.to_string() + "\n";
        if lines.len() + line.len() > MOST {
            break;
        }
        lines += &line;
    }
    Ok(lines)
}
