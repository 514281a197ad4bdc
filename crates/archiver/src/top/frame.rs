// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Makes the lines of `cloudsync top` from two looks at a client.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use cloudsync_format::jobs::{Job, Stage};
use console::{measure_text_width, truncate_str};
use serde::Serialize;

use super::samples::Samples;
use crate::crawl::show;
use crate::jobs::name;
use crate::report::human;

/// What a client said at a time.
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) jobs: Vec<Job>,
    pub(super) samples: Samples,
}

/// What is shown.
pub(super) struct Frame<'a> {
    jobs: Vec<Row<'a>>,
    pub(super) summary: Summary,
}

struct Row<'a> {
    job: &'a Job,
    /// Bytes per second since the last look.
    rate: Option<f64>,
}

/// The client as a whole. The field names are the keys of the JSON output.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Summary {
    event: &'static str,
    jobs: u64,
    operations_waiting: u64,
    jobs_queued: u64,
    reads_waiting: u64,
    bytes_per_second: f64,
    requests_in_flight: u64,
    request_seconds: f64,
    memory: u64,
    memory_limit: u64,
    small_files_at_once: u64,
    parts_at_once: u64,
    recalls_finished: u64,
    recalls_failed: u64,
}

impl<'a> Frame<'a> {
    /// The frame for what a client says now; `before`: what it said last, for rates.
    pub(super) fn new(before: Option<&Look>, now: &'a Look) -> Self {
        let passed = before.map(|before| now.at.duration_since(before.at).as_secs_f64());
        let passed = passed.filter(|seconds| *seconds > 0.0);
        let of = |look: &Look, name: &str| look.samples.get(name);
        // A client that started again begins at zero.
        let since =
            |name: &str| before.map_or(0.0, |before| (of(now, name) - of(before, name)).max(0.0));
        let old: HashMap<_, _> = before
            .iter()
            .flat_map(|before| &before.jobs)
            .filter_map(|job| Some((job.gfid.as_str(), job.progress?.0)))
            .collect();
        let rows = now.jobs.iter().map(|job| {
            let done = job.progress.map(|(done, _)| done);
            let before = old.get(job.gfid.as_str()).copied();
            let more = done
                .zip(before)
                .and_then(|(done, before)| done.checked_sub(before));
            let rate = more.zip(passed).map(|(more, passed)| more as f64 / passed);
            Row { job, rate }
        });
        let count = |name: &str| of(now, name) as u64;
        let requests = since("cloudsync_store_request_seconds_count{request=\"fetch\"}");
        let seconds = since("cloudsync_store_request_seconds_sum{request=\"fetch\"}");
        let failed = cloudsync_metrics::labels::Cause::ALL.map(|cause| {
            count(&format!(
                "cloudsync_recalls_failed_total{{cause=\"{}\"}}",
                cause.text()
            ))
        });
        let received = since("cloudsync_store_received_bytes_total");
        let summary = Summary {
            event: "client",
            jobs: count("cloudsync_jobs"),
            operations_waiting: count("cloudsync_operations_waiting"),
            jobs_queued: count("cloudsync_jobs_queued"),
            reads_waiting: count("cloudsync_reads_waiting"),
            bytes_per_second: passed.map_or(0.0, |passed| received / passed),
            requests_in_flight: count("cloudsync_connections"),
            request_seconds: if requests > 0.0 {
                seconds / requests
            } else {
                0.0
            },
            memory: count("cloudsync_memory_bytes"),
            memory_limit: count("cloudsync_memory_limit_bytes"),
            small_files_at_once: count("cloudsync_depth{of=\"small_files\"}"),
            parts_at_once: count("cloudsync_depth{of=\"parts\"}"),
            recalls_finished: count("cloudsync_recalls_finished_total"),
            recalls_failed: failed.into_iter().sum(),
        };
        Self {
            jobs: rows.collect(),
            summary,
        }
    }

    /// The lines, at most `rows` of them, each at most `columns` wide.
    pub(super) fn lines(&self, mount: &Path, columns: usize, rows: usize) -> Vec<String> {
        let of = &self.summary;
        let mut lines = vec![
            format!("cloudsync top {}", mount.display()),
            format!(
                "{} files, {} operations wait, {} queued",
                of.jobs,
                of.operations_waiting + of.reads_waiting,
                of.jobs_queued
            ),
            format!(
                "{}/s in {} requests, {:.0} ms each",
                human(of.bytes_per_second as u64),
                of.requests_in_flight,
                of.request_seconds * 1e3
            ),
            format!(
                "memory {} of {}, {} files or {} parts at once",
                human(of.memory),
                human(of.memory_limit),
                of.small_files_at_once,
                of.parts_at_once
            ),
            format!(
                "{} recalled, {} failed",
                of.recalls_finished, of.recalls_failed
            ),
            String::new(),
            format!(
                "{:>4} {:>11} {:>7} {}",
                "%", "PER SECOND", "LEFT", "FILE, AND WHO WAITS"
            ),
        ];
        lines.extend(self.jobs.iter().map(|row| row.line(columns)));
        // The terminal's last row is the cursor's.
        lines.truncate(rows.saturating_sub(1).max(1));
        for line in &mut lines {
            *line = truncate_str(line, columns, "…").into_owned();
        }
        lines
    }
}

impl Row<'_> {
    fn line(&self, columns: usize) -> String {
        let percent = match self.job.progress {
            Some((_, 0)) => "100".to_owned(),
            Some((done, size)) => (done.saturating_mul(100) / size).to_string(),
            None => match self.job.stage {
                Stage::Queued => "wait",
                Stage::Bricks => "ask",
                Stage::Lock => "lock",
                Stage::Working => "busy",
            }
            .to_owned(),
        };
        let rate = self
            .rate
            .map_or_else(String::new, |rate| human(rate as u64));
        let left = self.left().map_or_else(String::new, short);
        let who = match self.job.waiters.split_first() {
            None => String::new(),
            Some((first, [])) => format!("  {}", name(first)),
            Some((first, more)) => format!("  {} and {} more", name(first), more.len()),
        };
        let head = format!("{percent:>4} {rate:>11} {left:>7} ");
        // The end of a path says more than its beginning; on a narrow terminal, it alone is shown.
        let room = columns.saturating_sub(measure_text_width(&head));
        let (room, who) = match room.saturating_sub(measure_text_width(&who)) {
            enough @ 12.. => (enough, who),
            _ => (room, String::new()),
        };
        format!("{head}{}{who}", end_of(&show(&self.job.path), room))
    }

    fn left(&self) -> Option<Duration> {
        let (done, size) = self.job.progress?;
        let rate = self.rate.filter(|rate| *rate >= 1.0)?;
        Duration::try_from_secs_f64(size.saturating_sub(done) as f64 / rate).ok()
    }
}

/// A duration in at most seven characters.
fn short(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ ..3600 => format!("{}:{:02} m", seconds / 60, seconds % 60),
        seconds if seconds < 360_000 => format!("{}:{:02} h", seconds / 3600, seconds / 60 % 60),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// The last part of a text that is `room` wide.
fn end_of(text: &str, room: usize) -> String {
    if measure_text_width(text) <= room {
        return text.to_owned();
    }
    let mut end = text;
    while measure_text_width(end) + 1 > room {
        let mut rest = end.chars();
        if rest.next().is_none() {
            break;
        }
        end = rest.as_str();
    }
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use cloudsync_format::jobs::Waiter;

    use super::*;

    fn look(at: Instant, done: u64, received: u64) -> Look {
        let job = |gfid: &str, progress, waiters| Job {
            gfid: gfid.to_owned(),
            progress,
            stage: Stage::Lock,
            milliseconds: 10_000,
            waiters,
            path: format!("/some/folder/with/a/long/name/{gfid}"),
        };
        let waiter = Waiter {
            pid: -1,
            uid: 0,
            what: "read".into(),
        };
        let text = format!(
            "cloudsync_jobs{{volume=\"v\"}} 2\ncloudsync_store_received_bytes_total{{volume=\"v\"}} {received}\n\
             cloudsync_recalls_failed_total{{volume=\"v\",cause=\"missing\"}} 3\n"
        );
        Look {
            at,
            jobs: vec![
                job(
                    "first",
                    Some((done, 100 << 20)),
                    vec![waiter.clone(), waiter],
                ),
                job("second", None, Vec::new()),
            ],
            samples: Samples::parse(&text),
        }
    }

    #[test]
    fn rates_and_time_left_come_from_two_looks() {
        let start = Instant::now();
        let before = look(start, 10 << 20, 0);
        let now = look(start + Duration::from_secs(2), 50 << 20, 80 << 20);
        let frame = Frame::new(Some(&before), &now);
        let lines = frame.lines(Path::new("/mnt/v"), 100, 100);
        let text = lines.join("\n");
        assert!(text.contains("2 files, 0 operations wait"), "{text}");
        assert!(text.contains("40.00 MiB/s in 0 requests"), "{text}");
        assert!(text.contains("0 recalled, 3 failed"), "{text}");
        let first = lines.iter().find(|line| line.contains("first")).unwrap();
        assert!(
            first.contains("  50") && first.contains("20.00 MiB") && first.contains("2 s"),
            "{first}"
        );
        assert!(first.ends_with("GlusterFS and 1 more"), "{first}");
        let second = lines.iter().find(|line| line.contains("second")).unwrap();
        assert!(second.starts_with("lock "), "{second}");
    }

    #[test]
    fn lines_fit_a_narrow_terminal() {
        let now = look(Instant::now(), 10 << 20, 0);
        let frame = Frame::new(None, &now);
        for columns in [10, 20, 44, 80] {
            for rows in [1, 5, 24] {
                let lines = frame.lines(Path::new("/mnt/v"), columns, rows);
                assert!(lines.len() <= rows.max(1), "{rows}");
                for line in lines {
                    assert!(measure_text_width(&line) <= columns, "{columns}: {line}");
                }
            }
        }
        let lines = frame.lines(Path::new("/mnt/v"), 44, 24);
        assert!(
            lines.iter().any(|line| line.ends_with("first")),
            "{lines:?}"
        );
    }

    #[test]
    fn durations_are_short() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1:01 m"),
            (3661, "1:01 h"),
            (400_000, "4 d"),
        ] {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
    }
}
