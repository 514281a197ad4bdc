// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync run`: archives by the rules of a policy file, and does its other steps. Meant for a timer, on all nodes at the
//! same time.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

use crate::archive::{Task, free_percent, run};
use crate::cli::{OutputFlags, RunArgs, StoreChoice};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::metrics;
use crate::replace::replace;
use crate::report::Screen;

mod check;
mod explain;
mod file;
mod step;
mod turn;

use file::{Policy, Rule};
use step::{Outcome, Step};

/// The result of a run of a policy. The field names are the keys of the JSON report.
#[derive(Debug, Serialize)]
struct Report {
    event: &'static str,
    policy: PathBuf,
    started: String,
    finished: String,
    runs: Vec<Run>,
}

/// The result of one rule, or another step, on one target.
#[derive(Debug, Serialize)]
struct Run {
    /// What it does: `archive`, or the command of another step.
    step: &'static str,
    /// Its name.
    rule: String,
    target: PathBuf,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Value>,
    /// The summary for people.
    #[serde(skip)]
    text: Option<String>,
}

/// Runs the command, prints its results and writes the report.
pub(crate) fn command(args: &RunArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let policy = Policy::read(&args.config)?;
    if let Some(path) = &args.explain {
        return explain::explain(&policy, path, &screen);
    }
    if args.check {
        return check::check(&policy, &screen);
    }
    let started = now();
    let mut runs = Vec::new();
    let mut worst = Ended::Well;
    let mut start_error = None;
    for part in policy
        .parts()
        .filter(|part| !args.when_short || part.watches_space())
    {
        for target in part.targets() {
            if interrupted() {
                break;
            }
            let (run, ended) = part.run(&policy, target, args.dry_run);
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
    // What the timer every ten minutes does is not the result of the night's run.
    let report_of_policy = policy.report.as_ref().filter(|_| !args.when_short);
    if let Some(path) = args.report.as_ref().or(report_of_policy) {
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

/// What a policy has done at its targets.
enum Part<'a> {
    Rule(&'a Rule),
    Step(&'a Step),
}

impl Policy {
    /// The rules and then the other steps.
    fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let rules = self.rules.iter().map(Part::Rule);
        rules.chain(self.steps.iter().map(Part::Step))
    }
}

impl Part<'_> {
    /// What it does, and its own name.
    fn names(&self) -> (&'static str, &str) {
        match self {
            Self::Rule(rule) => ("archive", &rule.name),
            Self::Step(step) => (step.command(), &step.name),
        }
    }

    /// Whether it is a rule that runs only while space is short.
    const fn watches_space(&self) -> bool {
        matches!(self, Self::Rule(rule) if rule.start_below_free.is_some())
    }

    fn targets(&self) -> &[PathBuf] {
        match self {
            Self::Rule(rule) => &rule.targets,
            Self::Step(step) => &step.targets,
        }
    }

    /// Does it at one target. The second value is its part of the exit code.
    fn run(&self, policy: &Policy, target: &Path, dry_run: bool) -> (Run, Result<Ended, Error>) {
        let (step, rule) = self.names();
        let mut report = Run {
            step,
            rule: rule.to_owned(),
            target: target.to_owned(),
            result: "skipped",
            why: None,
            summary: None,
            text: None,
        };
        // The same policy is installed on every node, and not every node has every brick.
        if !target.exists() {
            report.why = Some("not on this node".to_owned());
            return (report, Ok(Ended::Well));
        }
        // No progress bar, because the command runs unattended.
        let quiet = Screen::new(&OutputFlags {
            verbose: 0,
            json: false,
            no_progress: true,
            metrics_file: None,
        });
        let outcome = match self {
            Self::Rule(rule) => archive(policy, rule, target, dry_run, &quiet),
            Self::Step(_) if dry_run => Ok(Outcome::Skipped("a dry run only archives".to_owned())),
            Self::Step(step) => step.run(target, &policy.store, policy.jobs, &quiet),
        };
        match outcome {
            Ok(Outcome::Skipped(why)) => {
                report.why = Some(why);
                (report, Ok(Ended::Well))
            }
            Ok(Outcome::Done(text, summary, ended)) => {
                report.result = match ended {
                    Ended::Well => "done",
                    Ended::WithFailures => "done with failures",
                    Ended::Early => "stopped early",
                    Ended::Interrupted => "interrupted",
                };
                (report.text, report.summary) = (Some(text), Some(summary));
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
}

/// Applies one rule to one target.
fn archive(
    policy: &Policy,
    rule: &Rule,
    target: &Path,
    dry_run: bool,
    quiet: &Screen,
) -> Result<Outcome, Error> {
    if let (Some(mark), Some(free)) = (rule.start_below_free, free_percent(target))
        && free >= mark
    {
        return Ok(Outcome::Skipped(format!("{free:.0} % is free")));
    }
    let task = Task {
        target,
        select: &rule.select,
        pace: &rule.pace,
        key_layout: policy.key_layout,
        dry_run,
        lock: true,
        store: &StoreChoice::of(rule.store.as_deref(), &policy.store),
    };
    let (summary, ended) = run(&task, quiet)?;
    let target = target.display().to_string();
    let labels = [("rule", rule.name.clone()), ("target", target)];
    metrics::run::note(&labels, &summary);
    Ok(Outcome::told((summary, ended)))
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
        if let Some(text) = &self.text {
            line += &format!(": {text}");
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
