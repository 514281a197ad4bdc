// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Whether a client has stopped growing: the medians of the second and the last quarter of its life.

use crate::checks::Checks;
use crate::metrics::Metrics;
use crate::sampler::{Sample, Watched};

/// By how much the later median may be larger. What GlusterFS itself keeps is in it: after each switch to another graph
/// the old graph stays (its inodes, dictionaries and rings), and the kernel's inodes come and go with the caches.
#[derive(Clone, Copy, Debug)]
struct Bound {
    /// In any case.
    once: f64,
    /// For each switch to another graph between the two quarters' middles.
    for_each_graph: f64,
}

/// The medians of the second and the last quarter.
#[derive(Clone, Copy, Debug)]
struct Medians {
    second: f64,
    last: f64,
    /// How many graphs came in between.
    graphs: usize,
}

impl Medians {
    /// `None` if there are too few samples of the client's last process. The graphs are those of `counting`, which has
    /// metrics: every client of the volume gets the same ones.
    fn of(client: &Watched, counting: &Watched, value: impl Fn(&Sample) -> f64) -> Option<Self> {
        let mut samples = client.samples();
        let pid = samples.last()?.pid;
        samples.retain(|sample| sample.pid == pid);
        let quarter = samples.len() / 4;
        if quarter < 5 {
            return None;
        }
        let median = |samples: &[Sample]| {
            let mut values: Vec<_> = samples.iter().map(&value).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let (second, last) = (&samples[quarter..2 * quarter], &samples[3 * quarter..]);
        let between = &samples[quarter + quarter / 2..3 * quarter + quarter / 2];
        let (from, to) = (between.first()?.at, between.last()?.at);
        let mut between = counting.samples();
        between.retain(|sample| (from..=to).contains(&sample.at));
        Some(Self {
            second: median(second),
            last: median(last),
            graphs: restarts(&between),
        })
    }

    fn text(&self, bound: Bound) -> String {
        format!(
            "{:.0} in the second quarter, {:.0} in the last; {} graphs in between; allowed: {} more, and {} for each graph",
            self.second, self.last, self.graphs, bound.once, bound.for_each_graph
        )
    }

    /// By how much it has grown beyond what is allowed; not positive if it has not.
    fn beyond(&self, bound: Bound) -> f64 {
        let allowed = bound.once + bound.for_each_graph * self.graphs as f64;
        self.last - self.second - allowed
    }
}

/// How often the counters began at zero again, as they do in a new graph.
fn restarts(samples: &[Sample]) -> usize {
    let changes = |metrics: &Metrics| metrics.sum("cloudsync_store_request_seconds_count");
    let values = samples.iter().filter_map(|sample| sample.metrics.as_ref());
    let values: Vec<_> = values.map(changes).collect();
    let pairs = values.windows(2);
    pairs.filter(|pair| pair[1] < pair[0]).count()
}

/// Whether the clients that nobody killed have stopped growing.
pub(crate) fn check(watched: &[Watched], killed: &str, checks: &mut Checks) {
    type Value = fn(&Sample) -> f64;
    // A graph that was replaced stays in memory: GlusterFS never frees it in a client. Threads and descriptors follow the
    // load: as many recalls as `recalls` allows, each with a thread, and as many connections.
    let kinds: [(&str, Value, Bound); 3] = [
        (
            "memory_stays_flat",
            |sample| sample.memory as f64 / 1024.0,
            Bound {
                once: 64.0,
                for_each_graph: 8.0,
            },
        ),
        (
            "descriptors_stay_flat",
            |sample| sample.descriptors as f64,
            Bound {
                once: 40.0,
                for_each_graph: 0.0,
            },
        ),
        (
            "threads_stay_flat",
            |sample| sample.threads as f64,
            Bound {
                once: 40.0,
                for_each_graph: 0.0,
            },
        ),
    ];
    for (name, value, bound) in kinds {
        let (mut wrong, mut found) = (Vec::new(), Vec::new());
        for client in watched.iter().filter(|client| client.name != killed) {
            let counting = if client.source.has_metrics() {
                client
            } else {
                &watched[0]
            };
            let Some(medians) = Medians::of(client, counting, value) else {
                wrong.push(format!("{}: too few samples", client.name));
                continue;
            };
            let text = format!("{}: {}", client.name, medians.text(bound));
            if medians.beyond(bound) > 0.0 {
                wrong.push(text);
            } else {
                found.push(text);
            }
        }
        checks.none(name, &wrong, found.join("\n"));
    }
}
