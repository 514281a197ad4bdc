// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The samples of a client's metrics that are shown.

use std::collections::HashMap;

/// Samples by name, without the volume's label: `cloudsync_depth{of="parts"}`.
#[derive(Debug, Default)]
pub(super) struct Samples(HashMap<String, f64>);

impl Samples {
    /// Parses OpenMetrics text of one client.
    pub(super) fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((without_volume(name), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// The value; 0 if there is none, as in an older client.
    pub(super) fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }
}

fn without_volume(name: &str) -> String {
    let Some((plain, labels)) = name.split_once("{volume=\"") else {
        return name.to_owned();
    };
    // A volume's name has no quotes.
    let rest = labels.split_once('"').map_or("", |(_, rest)| rest);
    match rest.trim_start_matches(',') {
        "" | "}" => plain.to_owned(),
        rest => format!("{plain}{{{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_name_and_label() {
        let text = "# TYPE a gauge\na{volume=\"v\"} 3\nb{volume=\"v\",of=\"x\"} 0.5\n# EOF\n";
        let samples = Samples::parse(text);
        assert_eq!(samples.get("a"), 3.0);
        assert_eq!(samples.get("b{of=\"x\"}"), 0.5);
        assert_eq!(samples.get("c"), 0.0);
    }
}
