// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The administrator: runs the archiver on one brick after the other, and now and then removes what no file needs and
//! checks the objects.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloudsync_lab::{Lab, Outcome, Volume};
use serde_json::Value;

use crate::Answer;
use crate::day::{Day, Kind};
use crate::random::Random;

/// No run takes longer, whatever is wrong with the store.
const LONGEST: Duration = Duration::from_secs(240);

/// How long a file must not have been changed before it is archived.
const AGE: &str = "--older-than=2s";

/// The program, and the sums of what its runs reported.
#[derive(Debug)]
pub(crate) struct Archiver {
    lab: Arc<Lab>,
    /// In the lab: a build meanwhile replaces the one in target.
    program: PathBuf,
    bricks: Vec<String>,
    pub(crate) runs: AtomicU64,
    /// Runs that ended with another exit code than 0, as they do while the store is down.
    pub(crate) unfinished: AtomicU64,
    pub(crate) archived: AtomicU64,
    pub(crate) uploaded_bytes: AtomicU64,
    pub(crate) deleted: AtomicU64,
    pub(crate) checked: AtomicU64,
}

impl Archiver {
    pub(crate) fn new(lab: &Arc<Lab>, volume: &Volume) -> Answer<Self> {
        let program = lab.scratch("cloudsync");
        let outer = lab.outer(&program);
        fs::copy(crate::profile()?.join("cloudsync"), &outer)?;
        fs::set_permissions(&outer, fs::Permissions::from_mode(0o755))?;
        let bricks = volume.bricks();
        let bricks = bricks
            .iter()
            .map(|brick| lab.inner(brick).display().to_string());
        Ok(Self {
            lab: Arc::clone(lab),
            program,
            bricks: bricks.collect(),
            runs: AtomicU64::new(0),
            unfinished: AtomicU64::new(0),
            archived: AtomicU64::new(0),
            uploaded_bytes: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
            checked: AtomicU64::new(0),
        })
    }

    /// Works until the day is over.
    pub(crate) fn run(&self, day: &Day, random: &mut Random) {
        for round in 1.. {
            if day.is_over() {
                return;
            }
            let brick = random.one(&self.bricks).clone();
            let done = match round {
                _ if round % 9 == 0 => self.verify(&brick, false),
                _ if round % 5 == 0 => self.collect(&brick),
                // Down to a quarter of the brick, as a timer would.
                _ if round % 2 == 0 => self.archive(&brick, &[AGE, "--free-until=75"]),
                _ => self.archive(&brick, &[AGE, "--limit=60"]),
            };
            if let Err(why) = done {
                day.fault(Kind::Other, format!("archiver: {why}"));
            }
            day.rest(random.time(500, 2500));
        }
    }

    /// Archives what the words select. Returns the exit code.
    pub(crate) fn archive(&self, brick: &str, words: &[&str]) -> Answer<i32> {
        let words = [&["archive", "--min-residency=0s"], words, &[brick]].concat();
        let (code, summary) = self.cloudsync(&words)?;
        add(&self.archived, &summary, "archived");
        add(&self.uploaded_bytes, &summary, "uploaded_bytes");
        Ok(code)
    }

    /// Removes the objects of files that are gone.
    fn collect(&self, brick: &str) -> Answer<i32> {
        let (code, summary) = self.cloudsync(&["gc", "--delete", "--grace=20s", brick])?;
        add(&self.deleted, &summary, "deleted");
        Ok(code)
    }

    /// Checks the objects of cold files. No object may be missing or another one's, whatever goes on meanwhile.
    pub(crate) fn verify(&self, brick: &str, deep: bool) -> Answer<i32> {
        let deep: &[&str] = if deep { &["--deep"] } else { &[] };
        let words = [&["verify"], deep, &[brick]].concat();
        let (code, summary) = self.cloudsync(&words)?;
        add(&self.checked, &summary, "checked");
        for bad in ["missing", "wrong"] {
            if number(&summary, bad) > 0 {
                return Err(format!("verify: {summary}").into());
            }
        }
        Ok(code)
    }

    /// The first brick, by which all files can be archived.
    pub(crate) fn brick(&self) -> &str {
        &self.bricks[0]
    }

    /// Runs the program. Returns its exit code and its summary.
    fn cloudsync(&self, words: &[&str]) -> Answer<(i32, Value)> {
        let program = self.program.display().to_string();
        let all = ["--json", "--no-progress"].iter().chain(words);
        let outcome = self.lab.run_with(LONGEST, &program, all, |_| {})?;
        let code = outcome.code().ok_or_else(|| outcome.to_string())?;
        self.runs.fetch_add(1, Ordering::Relaxed);
        if code != 0 {
            self.unfinished.fetch_add(1, Ordering::Relaxed);
        }
        // 1: some files failed; 3: it could not start; 4: it stopped early. All happen while the store is down.
        if ![0, 1, 3, 4].contains(&code) {
            return Err(outcome.to_string().into());
        }
        Ok((code, summary(&outcome)))
    }
}

/// The last line of the output.
fn summary(outcome: &Outcome) -> Value {
    let text = outcome.text();
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_default()
}

fn number(summary: &Value, name: &str) -> u64 {
    summary[name].as_u64().unwrap_or(0)
}

fn add(sum: &AtomicU64, summary: &Value, name: &str) {
    sum.fetch_add(number(summary, name), Ordering::Relaxed);
}
