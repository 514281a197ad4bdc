// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a client tells about itself: its metrics, with the loads of this moment. Waits for no lock that a stuck job could
//! hold: an administrator asks while operations hang.

#![forbid(unsafe_code)]

use cloudsync_logic::objects::depths::DEPTHS;
use cloudsync_logic::objects::limits::LIMITS;
use cloudsync_metrics::now::Now;

use crate::recall::engine::Engine;
use crate::work::workers;

/// The client's metrics, as OpenMetrics text.
#[must_use]
pub fn metrics(engine: &Engine) -> String {
    let (volume, load) = (&engine.volume, engine.load());
    let (jobs, operations_waiting) = load.unwrap_or_default();
    let objects = volume.objects.waiting();
    let reads = objects.unwrap_or(0) + volume.readings.waiting().unwrap_or(0);
    let (memory, connections) = LIMITS.used();
    let config = volume.config();
    let [budget, spent, reserved, _] = volume.allowance.budget.report().unwrap_or_default();
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
