// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync jobs`: the files that a mount's client is bringing back, and who waits for them.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use cloudsync_format::caller::{Process, process};
use cloudsync_format::command::JOBS;
use cloudsync_format::jobs::{Job, Stage, Waiter};
use serde::Serialize;

use crate::cli::{JobsArgs, OutputFlags};
use crate::client;
use crate::crawl::show;
use crate::exit::{Ended, Error};
use crate::report::{Event, Screen, human};

/// A job, as `--json` has it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown<'a> {
    event: &'static str,
    mount: String,
    path: &'a str,
    gfid: &'a str,
    seconds: f64,
    stage: Stage,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    waiters: Vec<ShownWaiter<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownWaiter<'a> {
    pid: i32,
    uid: u32,
    operation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(mount: &Path, job: &'a Job) -> Self {
        let waiter = |waiter: &'a Waiter| {
            let process = process(waiter.pid);
            ShownWaiter {
                pid: process.as_ref().map_or(waiter.pid, |process| process.pid),
                uid: waiter.uid,
                operation: &waiter.what,
                command: process.map(|process| process.command),
            }
        };
        Self {
            event: "job",
            mount: mount.display().to_string(),
            path: &job.path,
            gfid: &job.gfid,
            seconds: Duration::from_millis(job.milliseconds).as_secs_f64(),
            stage: job.stage,
            done: job.progress.map(|(done, _)| done),
            size: job.progress.map(|(_, size)| size),
            waiters: job.waiters.iter().map(waiter).collect(),
        }
    }
}

/// Asks the client of a mount.
///
/// # Errors
/// As [`client::ask_patiently`].
pub(crate) fn ask(mount: &Path) -> io::Result<Vec<Job>> {
    let text = client::ask_patiently(mount, JOBS)?;
    let lines = text.lines().map(|line| line.trim_end_matches('\0'));
    let jobs = lines.filter(|line| !line.is_empty()).map(|line| {
        Job::parse(line).ok_or_else(|| {
            io::Error::other(format!(
                "the client is of another version: it says '{line}'"
            ))
        })
    });
    jobs.collect()
}

/// Who waits, in words: `rsync (4711)`.
pub(crate) fn name(waiter: &Waiter) -> String {
    match process(waiter.pid) {
        Some(Process { pid, command, .. }) => named(Some(&command), pid),
        None => named(None, waiter.pid),
    }
}

/// What a job does while it fetches nothing.
const fn doing(stage: Stage) -> &'static str {
    match stage {
        Stage::Queued => "waits for other recalls",
        Stage::Bricks => "asks the bricks",
        Stage::Lock => "waits for the lock, which another client has",
        Stage::Working => "has the lock",
    }
}

/// A process in words.
pub(crate) fn named(command: Option<&str>, pid: i32) -> String {
    match command {
        Some(command) => format!("{} ({pid})", show(command)),
        None if pid < 0 => "GlusterFS".to_owned(),
        None if pid == 0 => "the kernel".to_owned(),
        None => format!("process {pid}"),
    }
}

/// Runs the command.
pub(crate) fn command(args: &JobsArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let mut failed = false;
    for mount in &args.mounts {
        let jobs = match ask(mount) {
            Ok(jobs) => jobs,
            Err(error) => {
                failed = true;
                screen.failure(&Event::new("failed", mount).why(&error.to_string()));
                continue;
            }
        };
        for job in &jobs {
            if screen.wants_json() {
                screen.json(&Shown::new(mount, job));
            } else {
                screen.print(&lines(job));
            }
        }
    }
    Ok(Ended::of(failed))
}

/// A job in words: a line for the file, and one for each operation that waits.
fn lines(job: &Job) -> String {
    let since = Duration::from_secs(job.milliseconds / 1000);
    let since = humantime::format_duration(since);
    let mut lines = match job.progress {
        Some((done, size)) => format!(
            "{}: {} of {}, for {since}",
            show(&job.path),
            human(done),
            human(size)
        ),
        None => format!("{}: {}, for {since}", show(&job.path), doing(job.stage)),
    };
    for waiter in &job.waiters {
        // Writing to a String does not fail.
        let _written = write!(
            lines,
            "\n  {} by {}, user {}",
            waiter.what,
            name(waiter),
            waiter.uid
        );
    }
    lines
}
