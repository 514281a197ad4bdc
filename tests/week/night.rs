// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What happens at night: the scanner, the backup, and the archiver with its policy. Its times are days of this simulation,
//! however long each of them took.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::Lab;
use serde_json::Value;

use crate::ledger::Day;
use crate::stage::Stage;
use crate::variant::Variant;
use crate::{AGE, Answer, RESIDENCY};

/// See the module.
#[derive(Debug)]
pub(crate) struct Night<'a> {
    lab: &'a Lab,
    variant: Variant,
    program: String,
    /// When the days began.
    dawns: Vec<Instant>,
    /// The longest run of the archiver so far.
    longest: Duration,
}

impl<'a> Night<'a> {
    pub(crate) fn new(lab: &'a Lab, variant: Variant) -> Answer<Self> {
        // A virus scanner, as far as this is about it: a program of this name that reads what it is given.
        let scanner = lab.scratch("clamscan");
        fs::copy("/bin/cat", lab.outer(&scanner))?;
        let artifacts = std::env::var_os("CLOUDSYNC_ARTIFACTS");
        let program = std::env::current_exe()?;
        let profile = program
            .ancestors()
            .nth(2)
            .ok_or("this program is nowhere")?;
        let folder = artifacts.map_or_else(|| profile.to_owned(), Into::into);
        Ok(Self {
            lab,
            variant,
            program: folder.join("cloudsync").display().to_string(),
            dawns: Vec::new(),
            longest: Duration::from_secs(2),
        })
    }

    /// A day begins. The archiver counts back from when it looks at a file, and the policy from before it ran: nothing may
    /// happen in the moment that lies between.
    pub(crate) fn dawn(&mut self) {
        self.dawns.push(Instant::now());
        thread::sleep(self.longest * 3);
    }

    /// How long ago the day began that was so many days ago; a day of this simulation is at least a moment.
    fn since(&self, days: usize) -> Duration {
        let begun = self.dawns.len().checked_sub(days);
        let begun = begun.and_then(|day| self.dawns.get(day));
        begun.map_or(Duration::from_secs(3600), Instant::elapsed)
    }

    /// The scanner reads everything. Returns how many files it could not read.
    pub(crate) fn scan(&self, stage: &Stage<'_>) -> Answer<usize> {
        let scanner = self.lab.scratch("clamscan").display().to_string();
        let place = stage.place()?;
        let (_, errors) = stage.sh(&format!(
            "find {place} -type f -print0 | xargs -0 -n 50 {scanner} >/dev/null"
        ))?;
        let (refused, others): (Vec<_>, Vec<_>) = errors
            .lines()
            .partition(|line| line.contains("Permission denied"));
        match others.first() {
            None => Ok(refused.len()),
            Some(other) => Err(format!("the scanner: {other}").into()),
        }
    }

    /// The backup: what is new by size and time, and on the last day by its bytes.
    pub(crate) fn back_up(&self, stage: &Stage<'_>, whole: bool) -> Answer<()> {
        let to = self.lab.scratch("backup").display().to_string();
        let how = if whole { "--checksum" } else { "" };
        let (_, errors) = stage.sh(&format!(
            "rsync -a --delete {how} {}/ {to}/",
            stage.place()?
        ))?;
        match errors.is_empty() {
            true => Ok(()),
            false => Err(format!("rsync: {errors}").into()),
        }
    }

    /// Runs the policy. Returns why it is not well, if it is not.
    pub(crate) fn archive(&mut self, stage: &Stage<'_>, day: &mut Day) -> Answer<Option<String>> {
        let ms = |days| format!("{}ms", self.since(days).as_millis());
        let residency = match self.variant.residency {
            true => ms(RESIDENCY),
            false => "0s".to_owned(),
        };
        let policy = self.lab.scratch("week.toml");
        let text = format!(
            "[[rule]]\nname = 'nightly'\ntargets = ['{}']\nolder-than = '{}'\nmin-residency = '{residency}'\n",
            stage.brick(),
            ms(AGE)
        );
        fs::write(self.lab.outer(&policy), text)?;
        let policy = policy.display();
        let begun = Instant::now();
        let report = self.cloudsync(stage, &format!("run --json --config {policy}"))?;
        self.longest = self.longest.max(begun.elapsed());
        let run = &report["runs"][0];
        let number = |name: &str| run["summary"][name].as_u64().unwrap_or(0);
        day.archived = number("archived");
        day.uploaded = number("uploaded");
        day.uploaded_bytes = number("uploaded_bytes");
        day.stored_bytes = stage.stored_bytes()?;
        Ok((run["result"] != "done").then(|| report.to_string()))
    }

    /// Checks every object. Returns what is wrong.
    pub(crate) fn verify(&self, stage: &Stage<'_>) -> Answer<Option<String>> {
        let brick = stage.brick();
        let summary = self.cloudsync(stage, &format!("verify --deep --json {brick}"))?;
        let bad = ["missing", "wrong", "not_checked"];
        let is_good = bad.iter().all(|name| summary[name] == 0);
        Ok((!is_good).then(|| summary.to_string()))
    }

    /// Runs the program. Returns the last line of its output.
    fn cloudsync(&self, stage: &Stage<'_>, words: &str) -> Answer<Value> {
        let (output, errors) = stage.sh(&format!("{} {words}", self.program))?;
        let last = output.lines().last().unwrap_or_default();
        serde_json::from_str(last).map_err(|_| format!("{words}: {output}{errors}").into())
    }
}
