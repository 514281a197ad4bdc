// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The report: one HTML file with the checks, the charts, the events and the errors.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use crate::Answer;
use crate::chart::{Line, draw};
use crate::checks::Check;
use crate::day::{Day, Event};
use crate::metrics::Metrics;
use crate::sampler::{Sample, Watched};
use crate::settings::Settings;

const STYLE: &str = "body { font: 14px sans-serif; margin: 2em; max-width: 1120px }
table { border-collapse: collapse; margin-bottom: 1.5em } td, th { text-align: left; padding: 2px 10px; border-bottom: 1px solid #ddd; vertical-align: top }
.bad { color: #b00; font-weight: bold } pre { margin: 0; white-space: pre-wrap } svg { max-width: 100%; height: auto }";

/// Of a client's samples, one line of a chart.
type Value = fn(&Sample) -> Option<f64>;

/// Writes the report below the target directory. Returns its path.
pub(crate) fn write(
    settings: &Settings,
    length: f64,
    day: &Day,
    clients: &[Watched],
    checks: &[Check],
) -> Answer<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3);
    let folder = target.ok_or("this program is nowhere")?.join("soak");
    fs::create_dir_all(&folder)?;
    let events = day.events();
    let mut text = String::new();
    let failed = checks.iter().filter(|check| !check.passed).count();
    write!(
        text,
        "<!doctype html><meta charset=\"utf-8\"><title>A day in production</title><style>{STYLE}</style>\
         <h1>A day in production</h1><p>{:.1} minutes, seed {}, {} files, {} events; {} checks, {failed} failed.</p>",
        settings.length.as_secs_f64() / 60.0,
        settings.seed,
        settings.files(),
        events.len(),
        checks.len(),
    )?;
    table_of_checks(&mut text, checks)?;
    text.push_str("<h2>Over time</h2><p>Bands are events, by their number in the table below.</p>");
    for (title, value) in charts() {
        let line = |client: &Watched| -> Line {
            let samples = client.samples();
            let points = samples.iter().filter_map(|s| Some((s.at, value(s)?)));
            (client.name.to_owned(), points.collect())
        };
        let lines: Vec<_> = clients.iter().map(line).collect();
        text.push_str(&draw(title, &lines, &events, length)?);
    }
    let recalled = clients.iter().map(|client| {
        let samples = client.samples();
        (
            client.name.to_owned(),
            summed(&samples, "cloudsync_recalled_bytes_total"),
        )
    });
    let recalled: Vec<_> = recalled.collect();
    text.push_str(&draw("recalled, MiB", &recalled, &events, length)?);
    table_of_events(&mut text, &events, day)?;
    let path = folder.join("report.html");
    fs::write(&path, text)?;
    Ok(path)
}

fn charts() -> [(&'static str, Value); 9] {
    fn metric(sample: &Sample, name: &str) -> Option<f64> {
        Some(sample.metrics.as_ref()?.get(name))
    }
    [
        ("memory of the process (RSS), MiB", |s| {
            Some(s.memory as f64 / 1024.0)
        }),
        ("open descriptors", |s| Some(s.descriptors as f64)),
        ("threads", |s| Some(s.threads as f64)),
        ("recalls and checks in progress", |s| {
            metric(s, "cloudsync_jobs")
        }),
        ("operations that wait for them", |s| {
            metric(s, "cloudsync_operations_waiting")
        }),
        ("remote reads that wait", |s| {
            metric(s, "cloudsync_reads_waiting")
        }),
        ("objects in memory, MiB", |s| {
            Some(metric(s, "cloudsync_memory_bytes")? / f64::from(1 << 20))
        }),
        ("requests for bytes in progress", |s| {
            metric(s, "cloudsync_connections")
        }),
        ("recalls that failed, since the graph is new", |s| {
            let metrics: &Metrics = s.metrics.as_ref()?;
            Some(metrics.sum("cloudsync_recalls_failed_total"))
        }),
    ]
}

/// A counter in MiB over all graphs of a client: in each, it begins at zero.
fn summed(samples: &[Sample], name: &str) -> Vec<(f64, f64)> {
    let (mut before, mut last) = (0.0, 0.0);
    let mut points = Vec::new();
    for sample in samples {
        let Some(metrics) = &sample.metrics else {
            continue;
        };
        let value = metrics.get(name);
        if value < last {
            before += last;
        }
        last = value;
        points.push((sample.at, (before + last) / f64::from(1 << 20)));
    }
    points
}

fn table_of_checks(text: &mut String, checks: &[Check]) -> Answer<()> {
    text.push_str("<h2>Checks</h2><table>");
    for check in checks {
        let (class, word) = if check.passed {
            ("", "ok")
        } else {
            ("bad", "FAILED")
        };
        let name = check.name.replace('_', " ");
        write!(
            text,
            "<tr><td>{name}<td class=\"{class}\">{word}<td><pre>{}</pre>",
            escaped(&check.found)
        )?;
    }
    text.push_str("</table>");
    Ok(())
}

fn table_of_events(text: &mut String, events: &[Event], day: &Day) -> Answer<()> {
    text.push_str("<h2>Events</h2><table><tr><th>number<th>at, s<th>took, s<th>event<th>what");
    for (number, event) in events.iter().enumerate() {
        write!(
            text,
            "<tr><td>{}<td>{:.1}<td>{:.1}<td>{}<td>{}",
            number + 1,
            event.begun,
            event.ended.unwrap_or(event.begun) - event.begun,
            event.name,
            escaped(&event.what)
        )?;
    }
    text.push_str("</table><h2>Errors that applications got</h2><table><tr><th>latest event<th>error<th>count");
    for ((event, name), count) in day.errors() {
        write!(text, "<tr><td>{event}<td>{name}<td>{count}")?;
    }
    text.push_str("</table>\n");
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
