// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync run`: archives by the rules of a policy file. Meant for a timer, on all nodes at the same time.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use crate::archive::{Summary, Task, free_percent, run};
use crate::cli::{OutputFlags, RunArgs};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::metrics;
use crate::replace::replace;
use crate::report::Screen;

mod explain;
mod file;

use file::{Policy, Rule};

/// The result of a run of a policy. The field names are the keys of the JSON report.
#[derive(Debug, Serialize)]
struct Report {
    event: &'static str,
    policy: PathBuf,
    started: String,
    finished: String,
    runs: Vec<Run>,
}

/// The result of one rule on one target.
#[derive(Debug, Serialize)]
struct Run {
    rule: String,
    target: PathBuf,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
}

/// Runs the command, prints its results and writes the report.
pub(crate) fn command(args: &RunArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let policy = Policy::read(&args.config)?;
    if let Some(path) = &args.explain {
        return explain::explain(&policy, path, &screen);
    }
    let started = now();
    let mut runs = Vec::new();
    let mut worst = Ended::Well;
    let mut start_error = None;
    for rule in &policy.rules {
        for target in &rule.targets {
            if interrupted() {
                break;
            }
            let (run, ended) = one(&policy, rule, target, args.dry_run);
            if !screen.wants_json() {
                screen.print(&run.line());
            }
            match ended {
                Ok(ended) => worst = worst.max(ended),
                Err(error) => start_error = Some(error),
            }
            runs.push(run);
        }
    }
    if interrupted() {
        worst = Ended::Interrupted;
    }
    let report = Report {
        event: "report",
        policy: args.config.clone(),
        started,
        finished: now(),
        runs,
    };
    if screen.wants_json() {
        screen.json(&report);
    }
    if let Some(path) = args.report.as_ref().or(policy.report.as_ref()) {
        write(path, &report).map_err(|error| Error::start(path.display(), error))?;
    }
    match start_error {
        // Worse than failed files, but an early stop or an interruption takes precedence.
        Some(error) if worst < Ended::Early => Err(error),
        _ => Ok(worst),
    }
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Applies one rule to one target. The second value is its part of the exit code.
fn one(policy: &Policy, rule: &Rule, target: &Path, dry_run: bool) -> (Run, Result<Ended, Error>) {
    let mut report = Run {
        rule: rule.name.clone(),
        target: target.to_owned(),
        result: "skipped",
        why: None,
        summary: None,
    };
    // The same policy is installed on every node, and not every node has every brick.
    if !target.exists() {
        report.why = Some("not on this node".to_owned());
        return (report, Ok(Ended::Well));
    }
    if let (Some(mark), Some(free)) = (rule.start_below_free, free_percent(target))
        && free >= mark
    {
        report.why = Some(format!("{free:.0} % is free"));
        return (report, Ok(Ended::Well));
    }
    let task = Task {
        target,
        select: &rule.select,
        pace: &rule.pace,
        key_layout: policy.key_layout,
        dry_run,
        lock: true,
        store: &policy.store,
    };
    // No progress bar, because the command runs unattended.
    let quiet = Screen::new(&OutputFlags {
        verbose: 0,
        json: false,
        no_progress: true,
        metrics_file: None,
    });
    match run(&task, &quiet) {
        Ok((summary, ended)) => {
            report.result = match ended {
                Ended::Well => "done",
                Ended::WithFailures => "done with failures",
                Ended::Early => "stopped early",
                Ended::Interrupted => "interrupted",
            };
            let target = target.display().to_string();
            let labels = [("rule", rule.name.clone()), ("target", target)];
            metrics::run::note(&labels, &summary);
            report.summary = Some(summary);
            (report, Ok(ended))
        }
        Err(error) => {
            report.result = match error {
                Error::Locked(_) => "locked",
                _ => "failed",
            };
            report.why = Some(error.to_string());
            (report, Err(error))
        }
    }
}

impl Run {
    fn line(&self) -> String {
        let mut line = format!(
            "{} at {}: {}",
            self.rule,
            self.target.display(),
            self.result
        );
        if let Some(why) = &self.why {
            line += &format!(": {why}");
        }
        if let Some(summary) = &self.summary {
            line += &format!(": {summary}");
        }
        line
    }
}

/// Replaces the report atomically, because monitoring may read it at any moment.
fn write(path: &Path, report: &Report) -> std::io::Result<()> {
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    replace(path, &text)
}
