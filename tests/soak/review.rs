// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What processes, samples and events show of the whole day.

use std::fs;
use std::path::Path;

use cloudsync_lab::{Mount, Samba};

use crate::checks::Checks;
use crate::day::{Day, Work};
use crate::sampler::{Source, Watched};
use crate::stage::Stage;

/// Whether the clients that nobody killed are the same processes as at the beginning.
pub(crate) fn lives(
    stage: &Stage,
    watched: &[Watched],
    samba: Option<&Samba>,
    checks: &mut Checks,
) {
    let mut wrong = Vec::new();
    for client in watched {
        let first = client.samples().first().map(|sample| sample.pid);
        let is_killed = client.name == stage.clients[1].name;
        if !is_killed && first != client.source.pid() {
            wrong.push(format!("{} is another process", client.name));
        }
        if let (Source::Server(pid), Some(samba)) = (&client.source, samba)
            && samba.serving() != [*pid]
        {
            let now = samba.serving();
            wrong.push(format!("{} was {pid}, and is {now:?}", client.name));
        }
    }
    for slot in &stage.clients {
        if slot.ask(Mount::alive) != Some(true) {
            wrong.push(format!("{} has ended", slot.name));
        }
    }
    wrong.extend(logged(stage, "panicked"));
    let names: Vec<_> = watched.iter().map(|client| client.name).collect();
    checks.none("no_client_dies_by_itself", &wrong, names.join(", "));
}

/// What the metrics say of the whole day. Counters begin again in each graph, and jobs are in progress at any moment, so
/// little can be compared exactly; `evening` does that.
pub(crate) fn counted(stage: &Stage, watched: &[Watched], checks: &mut Checks) {
    let mut wrong = Vec::new();
    let mut found = Vec::new();
    for client in watched.iter().filter(|client| client.source.has_metrics()) {
        let samples = client.samples();
        let texts = samples.iter().filter_map(|sample| sample.metrics.as_ref());
        let mut last = 0.0;
        let mut sum = 0.0;
        for metrics in texts {
            let internal = metrics.get("cloudsync_recalls_failed_total{cause=\"internal\"}");
            let started = metrics.get("cloudsync_recalls_started_total");
            let finished = metrics.get("cloudsync_recalls_finished_total");
            // One may begin and end while the text is made.
            if internal > 0.0 || finished > started + 1.0 {
                wrong.push(format!(
                    "{}: {internal} internal, {started} started, {finished} finished",
                    client.name
                ));
                break;
            }
            sum += if finished < last { last } else { 0.0 };
            last = finished;
        }
        found.push(format!("{}: at least {} recalls", client.name, sum + last));
        if sum + last == 0.0 {
            wrong.push(format!("{} has recalled nothing", client.name));
        }
    }
    if !wrong.is_empty() {
        wrong.extend(logged(stage, "\"cause\":\"internal\""));
    }
    checks.none(
        "no_recall_fails_for_an_internal_reason",
        &wrong,
        found.join("\n"),
    );
}

/// The lines that contain a text, of the logs of all mounts, also of those that were killed.
fn logged(stage: &Stage, text: &str) -> Vec<String> {
    let folder = stage.clients[0].ask(|mount| mount.log_file().parent().map(Path::to_owned));
    let files = folder
        .flatten()
        .and_then(|folder| fs::read_dir(folder).ok());
    let mut lines = Vec::new();
    for file in files.into_iter().flatten().flatten() {
        let log = fs::read(file.path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let of = log.lines().filter(|line| line.contains(text));
        lines.extend(of.map(str::to_owned));
    }
    lines
}

/// Whether each kind of event has struck something.
pub(crate) fn struck(day: &Day, kinds: &[&str], checks: &mut Checks) {
    let events = day.events();
    let (mut wrong, mut found) = (Vec::new(), Vec::new());
    for kind in kinds {
        let of: Vec<_> = events.iter().filter(|event| event.name == *kind).collect();
        let strokes: u64 = of.iter().map(|event| event.strokes).sum();
        let text = format!("{kind}: {} times, {strokes} strokes", of.len());
        if strokes == 0 {
            wrong.push(text);
        } else {
            found.push(text);
        }
    }
    checks.none("every_event_strikes", &wrong, found.join("\n"));
}

/// Whether each application has done its work.
pub(crate) fn worked(day: &Day, names: &[String], checks: &mut Checks) {
    let (mut wrong, mut found) = (Vec::new(), Vec::new());
    let work = day.work();
    for name in names {
        let Work { reads, changes, .. } = work.get(name).copied().unwrap_or_default();
        let text = format!("{name}: {reads} reads, {changes} changes");
        if reads == 0 || changes == 0 {
            wrong.push(text);
        } else {
            found.push(text);
        }
    }
    let name = "each_application_reads_and_changes_files";
    checks.none(name, &wrong, found.join("\n"));
}
