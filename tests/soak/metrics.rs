// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The metrics of a client (docs/METRICS.md), by name and labels without the volume's.

use std::collections::BTreeMap;

/// The attribute of the volume's root that holds them.
pub(crate) const ATTRIBUTE: &str = "glusterfs.cloudsync.metrics";

/// What must be at zero when nothing is in progress.
pub(crate) const GAUGES: [&str; 5] = [
    "cloudsync_jobs",
    "cloudsync_operations_waiting",
    "cloudsync_jobs_queued",
    "cloudsync_reads_waiting",
    "cloudsync_connections",
];

/// The samples of a text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        // Of histograms only the counts are needed; the rest is most of the text.
        let is_rest = |line: &str| {
            ["_seconds_bucket", "_seconds_sum"]
                .iter()
                .any(|end| line.contains(end))
        };
        let lines = lines.filter(|line| !is_rest(line));
        Self(lines.filter_map(sample).collect())
    }

    /// The value of a sample; 0 if there is none.
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// The sum over all values of a label.
    pub(crate) fn sum(&self, family: &str) -> f64 {
        let of = self.0.iter().filter(|(name, _)| name.starts_with(family));
        of.map(|(_, value)| value).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The gauges that are not at zero.
    pub(crate) fn busy(&self) -> Vec<String> {
        let busy = GAUGES.iter().filter(|name| self.get(name) != 0.0);
        busy.map(|name| format!("{name} {}", self.get(name)))
            .collect()
    }
}

/// `name{volume="v",label="l"} 1` is `name{label="l"}` and 1.
fn sample(line: &str) -> Option<(String, f64)> {
    let (name, value) = line.rsplit_once(' ')?;
    let (name, labels) = name.split_once("{volume=\"")?;
    let (_, labels) = labels.split_once('"')?;
    let labels = labels.trim_start_matches(',');
    let name = match labels {
        "}" => name.to_owned(),
        labels => format!("{name}{{{labels}"),
    };
    Some((name, value.parse().ok()?))
}
