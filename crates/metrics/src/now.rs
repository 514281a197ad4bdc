// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What is known when the text is asked for: loads, limits, and counts that others keep.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

use crate::registration::{Builder, Gauges};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Now {
    /// Recalls and checks of files that are in progress.
    pub jobs: u64,
    /// Operations that wait for them.
    pub operations_waiting: u64,
    /// Jobs that wait for a thread.
    pub jobs_queued: u64,
    /// Remote reads in progress.
    pub reads_waiting: u64,
    /// Bytes of objects in memory, and the most that there may be.
    pub memory: (u64, u64),
    /// Connections to the store, and the most.
    pub connections: (u64, u64),
    /// Small files that are fetched at once where that brings more, and the most.
    pub small_files: (u64, u64),
    /// Parts of large files that are fetched at once, and the most.
    pub parts: (u64, u64),
    /// Bytes spent or set aside of the budget, and the budget; 0 if there is none.
    pub budget: (u64, u64),
    /// How often no connection was opened because memory was used up.
    pub without_memory: u64,
    /// How often a brick's connection was lost.
    pub brick_disconnects: u64,
    /// The name of the loaded store; empty if there is none.
    pub store: String,
}

/// What is set when the text is asked for.
pub(crate) struct Gauged {
    jobs: Gauge,
    operations_waiting: Gauge,
    jobs_queued: Gauge,
    reads_waiting: Gauge,
    memory: Gauge,
    memory_limit: Gauge,
    connections: Gauge,
    connections_limit: Gauge,
    budget: Gauge,
    budget_limit: Gauge,
    depth: Gauges,
    depth_limit: Gauges,
    without_memory: Counter,
    brick_disconnects: Counter,
    store: Family<Vec<(&'static str, String)>, Gauge>,
}

impl Gauged {
    pub(crate) fn new(build: &mut Builder) -> Self {
        Self {
            jobs: build.gauge("jobs", "Recalls and checks of files in progress"),
            operations_waiting: build.gauge(
                "operations_waiting",
                "Operations of applications that wait for a recall",
            ),
            jobs_queued: build.gauge("jobs_queued", "Recalls that wait for a thread"),
            reads_waiting: build.gauge("reads_waiting", "Remote reads that wait for the store"),
            memory: build.of(
                Unit::Bytes,
                "memory",
                "Objects in memory, in all volumes of the process",
                Gauge::default(),
            ),
            memory_limit: build.of(Unit::Bytes, "memory_limit", "The most", Gauge::default()),
            connections: build.gauge(
                "connections",
                "Requests that fetch parts of objects, in all volumes of the process",
            ),
            connections_limit: build.gauge("connections_limit", "The most"),
            budget: build.of(
                Unit::Bytes,
                "budget",
                "Fetched from the store in the budget's window, or set aside for recalls",
                Gauge::default(),
            ),
            budget_limit: build.of(
                Unit::Bytes,
                "budget_limit",
                "The most; 0: no limit",
                Gauge::default(),
            ),
            depth: build.one(
                "depth",
                "How many small files or parts of large ones are fetched at once where that brings more",
                Gauges::default(),
            ),
            depth_limit: build.one("depth_limit", "The most", Gauges::default()),
            without_memory: build.counter(
                "connections_without_memory",
                "How often another request would have brought more, but memory was used up",
            ),
            brick_disconnects: build.counter(
                "brick_disconnects",
                "How often the connection to a brick was lost",
            ),
            store: build.one("store", "The loaded store's name", Family::default()),
        }
    }

    pub(crate) fn set(&self, now: &Now) {
        let set = |gauge: &Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.jobs, now.jobs);
        set(&self.operations_waiting, now.operations_waiting);
        set(&self.jobs_queued, now.jobs_queued);
        set(&self.reads_waiting, now.reads_waiting);
        set(&self.memory, now.memory.0);
        set(&self.memory_limit, now.memory.1);
        set(&self.connections, now.connections.0);
        set(&self.connections_limit, now.connections.1);
        set(&self.budget, now.budget.0);
        set(&self.budget_limit, now.budget.1);
        for (what, (depth, most)) in [("small_files", now.small_files), ("parts", now.parts)] {
            set(&self.depth.get_or_create(&[("of", what)]), depth);
            set(&self.depth_limit.get_or_create(&[("of", what)]), most);
        }
        self.without_memory
            .inner()
            .store(now.without_memory, Ordering::Relaxed);
        self.brick_disconnects
            .inner()
            .store(now.brick_disconnects, Ordering::Relaxed);
        self.store.clear();
        if !now.store.is_empty() {
            let name = vec![("name", now.store.clone())];
            self.store.get_or_create(&name).set(1);
        }
    }
}
