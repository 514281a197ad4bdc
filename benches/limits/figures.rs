// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Figures: our measurement, the limit's, and whether they are close enough.

/// Both measurements of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) ours: f64,
    pub(crate) limit: f64,
}

/// The target of a ratio.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Shown without a target.
    None,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Its number in docs/BENCHMARKS.md.
    pub(crate) number: u8,
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    /// What ours is compared with.
    pub(crate) limit: String,
    pub(crate) target: Target,
    /// One for each run, or a single one where the samples of all runs were combined.
    pub(crate) pairs: Vec<Pair>,
    pub(crate) note: String,
}

impl Row {
    pub(crate) fn ours(&self) -> f64 {
        median(self.pairs.iter().map(|pair| pair.ours))
    }

    pub(crate) fn limit(&self) -> f64 {
        median(self.pairs.iter().map(|pair| pair.limit))
    }

    /// The median of the runs' ratios: other load on the machine slowed both halves of a run.
    pub(crate) fn ratio(&self) -> f64 {
        median(self.pairs.iter().map(|pair| pair.ours / pair.limit))
    }

    /// Whether the target was met, if there is one.
    pub(crate) fn met(&self) -> Option<bool> {
        match self.target {
            Target::AtLeast(least) => Some(self.ratio() >= least),
            Target::AtMost(most) => Some(self.ratio() <= most),
            Target::None => None,
        }
    }

    /// Whether it has valid figures: neither none, nor those of a failed measurement.
    pub(crate) fn has_figures(&self) -> bool {
        let good = |figure: f64| figure.is_finite() && figure > 0.0;
        !self.pairs.is_empty()
            && [self.ours(), self.limit(), self.ratio()]
                .into_iter()
                .all(good)
    }
}

/// The median.
pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The percentiles that this number of samples supports: at least one sample is beyond each of them.
pub(crate) fn percentiles(samples: usize) -> impl Iterator<Item = (&'static str, f64)> {
    let all = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];
    let beyond = move |part: f64| samples as f64 * (1.0 - part) >= 0.999;
    all.into_iter().filter(move |(_, part)| beyond(*part))
}

/// The smallest sample that is not below `part` of the samples.
pub(crate) fn percentile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (samples.len() as f64 * part).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// A row for each percentile that both sets of samples support; `target` applies to all of them.
pub(crate) fn rows(like: &Row, ours: &[f64], limit: &[f64]) -> Vec<Row> {
    let count = ours.len().min(limit.len());
    percentiles(count)
        .map(|(name, part)| Row {
            name: format!("{}, {name}", like.name),
            pairs: vec![Pair {
                ours: percentile(ours, part),
                limit: percentile(limit, part),
            }],
            note: join(&like.note, &format!("{count} samples")),
            ..like.clone()
        })
        .collect()
}

/// Joins two notes.
pub(crate) fn join(first: &str, second: &str) -> String {
    let both = [first, second].into_iter().filter(|text| !text.is_empty());
    both.collect::<Vec<_>>().join("; ")
}
