// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The metrics of a run of this program: the numbers of its summaries, how long it took, and how it ended.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Instant, SystemTime};

use cloudsync_metrics::gather::escaped;
use serde::Serialize;
use serde_json::Value;

use crate::parallel::lock;
use crate::replace::replace;

/// What the run's commands have said so far. Of the process, as its output is.
static SUMMARIES: Mutex<Vec<Said>> = Mutex::new(Vec::new());

struct Said {
    /// The labels that tell it from the run's others.
    labels: Vec<(&'static str, String)>,
    summary: Value,
}

/// Keeps a summary for the metrics. The numbers in it become metrics, with these labels, and its `path`.
pub(crate) fn note(labels: &[(&'static str, String)], summary: &impl Serialize) {
    // What cannot be a JSON value has no numbers.
    if let Ok(summary) = serde_json::to_value(summary) {
        let mut labels = labels.to_vec();
        let path = summary["path"].as_str();
        labels.extend(path.map(|path| ("path", path.to_owned())));
        lock(&SUMMARIES).push(Said { labels, summary });
    }
}

/// Writes the metrics of the run of `command`, which began at `started` and ends with this exit code, for node_exporter's
/// textfile collector.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(path: &Path, command: &str, started: Instant, code: u8) -> io::Result<()> {
    let said = lock(&SUMMARIES);
    // A dry run did nothing that could be counted.
    if said.iter().any(|said| said.summary["dry_run"] == true) {
        return Ok(());
    }
    let ended = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let own = [
        ("exit_code", f64::from(code)),
        ("end_timestamp_seconds", ended.as_secs_f64().round()),
        ("duration_seconds", started.elapsed().as_secs_f64()),
    ];
    let text = text(command, &own, &said);
    replace(path, text.as_bytes())
}

fn text(command: &str, own: &[(&str, f64)], said: &[Said]) -> String {
    let mut families: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut add = |name: &str, labels: &[(&str, String)], value: String| {
        let mut shown = format!("command=\"{}\"", escaped(command));
        for (label, value) in labels {
            // Writing to a String does not fail.
            let _written = write!(shown, ",{label}=\"{}\"", escaped(value));
        }
        let name = format!("cloudsync_run_{name}");
        let sample = format!("{name}{{{shown}}} {value}");
        families.entry(name).or_default().push(sample);
    };
    for (name, value) in own {
        add(name, &[], value.to_string());
    }
    for Said { labels, summary } in said {
        for (name, value) in summary.as_object().into_iter().flatten() {
            // How long it took is said above.
            if value.is_number() && name != "seconds" {
                add(name, labels, value.to_string());
            }
        }
    }
    let mut text = String::new();
    for (name, samples) in &families {
        let what = name.trim_start_matches("cloudsync_run_");
        let _written = writeln!(
            text,
            "# HELP {name} {what} of the last run, as in the summary of --json.\n# TYPE {name} gauge\n{}",
            samples.join("\n")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_summaries_become_metrics() {
        let said = |rule: &str, archived: u64| Said {
            labels: vec![("rule", rule.to_owned())],
            summary: serde_json::json!({"event": "summary", "archived": archived, "seconds": 1.5}),
        };
        let text = text(
            "run",
            &[("exit_code", 0.0)],
            &[said("a", 2), said("b\"", 3)],
        );
        let want = "# HELP cloudsync_run_archived archived of the last run, as in the summary of --json.\n\
                    # TYPE cloudsync_run_archived gauge\n\
                    cloudsync_run_archived{command=\"run\",rule=\"a\"} 2\n\
                    cloudsync_run_archived{command=\"run\",rule=\"b\\\"\"} 3\n\
                    # HELP cloudsync_run_exit_code exit_code of the last run, as in the summary of --json.\n\
                    # TYPE cloudsync_run_exit_code gauge\n\
                    cloudsync_run_exit_code{command=\"run\"} 0\n";
        assert_eq!(text, want);
    }
}
