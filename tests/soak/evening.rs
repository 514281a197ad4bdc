// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The end of the day: everything rests, the bricks heal, all files are archived, and each client reads a share of them;
//! at last a fresh one reads all. Now nothing else is going on, so what the metrics count can be compared exactly.

use std::time::Duration;

use cloudsync_lab::until;

use crate::Answer;
use crate::archiver::Archiver;
use crate::checks::Checks;
use crate::client::{Client, Pages, Slot};
use crate::day::{Day, Kind, Work};
use crate::metrics::Metrics;
use crate::native;
use crate::program::Program;
use crate::random::Random;
use crate::samba;
use crate::sampler::Source;
use crate::stage::Stage;
use crate::work::Worker;

/// How long anything may take, on any machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// See the module.
pub(crate) struct Evening<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) day: &'a Day,
    pub(crate) archiver: &'a Archiver,
    pub(crate) checks: &'a mut Checks,
}

impl Evening<'_> {
    /// Heals, and waits until no client has anything to do.
    pub(crate) fn rest(&mut self, clients: &[(&str, &Source)]) {
        let healed = self.stage.await_heal(PATIENCE);
        let healed = healed.map(|()| "no entry is left to heal".to_owned());
        self.checks.add("the_bricks_heal", healed);
        let mut busy = Vec::new();
        for (name, source) in clients.iter().filter(|client| client.1.has_metrics()) {
            if let Err(why) = await_idle(source) {
                busy.push(format!("{name}: {why}"));
            }
        }
        let found = format!(
            "jobs, waiting and queued ones, connections of {} clients",
            clients
                .iter()
                .filter(|client| client.1.has_metrics())
                .count()
        );
        self.checks
            .none("every_gauge_returns_to_zero", &busy, found);
    }

    /// Archives everything and compares every object with its checksum.
    pub(crate) fn archive(&mut self) {
        let outcome = self.archive_all().map_err(|why| why.to_string());
        self.checks
            .add("every_file_is_archived_and_its_object_verified", outcome);
    }

    fn archive_all(&self) -> Answer<String> {
        let brick = self.archiver.brick();
        let mut left = Vec::new();
        until(PATIENCE, "all files to be cold", || {
            let code = self
                .archiver
                .archive(brick, &["--older-than=0s", "--order=found"]);
            left = self.local();
            (code.is_ok() && left.is_empty()).then_some(())
        })
        .map_err(|why| format!("{why}: {left:?}"))?;
        let code = self.archiver.verify(brick, true)?;
        if code != 0 {
            return Err(format!("verify --deep: exit code {code}").into());
        }
        Ok(format!(
            "{} files, {} bytes",
            self.cold().len(),
            self.day.files.bytes()
        ))
    }

    /// The numbers of the files that are not cold. (Empty ones never are.)
    fn local(&self) -> Vec<usize> {
        let cold = self.cold();
        let count = self.day.files.count();
        let has_bytes = |number: &usize| self.day.files.read(*number).content.size() > 0;
        (0..count)
            .filter(|number| has_bytes(number) && !cold.contains(number))
            .collect()
    }

    /// The numbers of the files that are cold on every brick.
    fn cold(&self) -> Vec<usize> {
        let is_cold = |number: &usize| {
            let name = self.day.files.read(*number).name.clone();
            self.stage.volume.is_cold_now(&name)
        };
        (0..self.day.files.count()).filter(is_cold).collect()
    }

    /// Each client reads its share, and counts what it recalls. One share is left for `read_all`.
    pub(crate) fn read_shares(&mut self, program: &mut Program, source: &Source) {
        let mut wrong = Vec::new();
        let mut found = Vec::new();
        let stage = self.stage;
        let mut share = |at: usize, name: &str, client: &mut dyn Client, source: &Source| match self
            .read_counted(name, client, source, &self.share(at))
        {
            Ok(text) => found.push(text),
            Err(why) => wrong.push(why.to_string()),
        };
        for (at, slot) in stage.clients.iter().enumerate() {
            let source = Source::Mount(slot.clone());
            share(at, slot.name, &mut slot.application(), &source);
        }
        share(2, native::NAME, program, source);
        self.checks
            .none("each_recall_is_counted_once", &wrong, found.join("\n"));
    }

    /// Samba reads its share, too. It has no metrics, so only what is on the bricks tells what it has recalled.
    pub(crate) fn read_by_samba(&mut self, program: &mut Program) {
        let outcome = self.recall_by_samba(program).map_err(|why| why.to_string());
        self.checks.add("samba_recalls_what_it_reads", outcome);
    }

    fn recall_by_samba(&self, program: &mut Program) -> Answer<String> {
        let (numbers, before) = (self.share(3), self.cold());
        self.read_right(samba::NAME, program, &numbers)?;
        let recalled = numbers.iter().filter(|number| before.contains(number));
        let recalled = recalled.count();
        let expected: Vec<_> = before
            .into_iter()
            .filter(|number| !numbers.contains(number))
            .collect();
        // A read may be answered before the recall has ended.
        until(PATIENCE, "the end of Samba's recalls", || {
            (self.cold() == expected).then_some(())
        })?;
        let read = numbers.len();
        Ok(format!(
            "{}: {read} files read, {recalled} recalled",
            samba::NAME
        ))
    }

    /// The numbers of the files of one of five shares.
    fn share(&self, at: usize) -> Vec<usize> {
        let all = 0..self.day.files.count();
        all.filter(|number| number % 5 == at).collect()
    }

    /// A client that has seen nothing of it reads everything.
    pub(crate) fn read_all(&mut self) {
        let outcome = self.read_fresh().map_err(|why| why.to_string());
        self.checks.add("a_fresh_mount_reads_every_byte", outcome);
    }

    fn read_fresh(&self) -> Answer<String> {
        let slot = Slot::new("fresh", Pages::Cached, &self.stage.volume)?;
        let source = Source::Mount(slot.clone());
        let numbers: Vec<_> = (0..self.day.files.count()).collect();
        let text = self.read_counted(slot.name, &mut slot.application(), &source, &numbers);
        if let Some(mount) = slot.take() {
            mount.unmount()?;
        }
        text
    }

    /// Reads files, all of which must be right.
    fn read_right(&self, name: &str, client: &mut dyn Client, numbers: &[usize]) -> Answer<()> {
        let mut worker = Worker {
            day: self.day,
            name: format!("{name} at the end"),
            client,
            random: Random::new(0, 0),
        };
        let right = numbers.iter().filter(|number| worker.read(**number, true));
        let right = right.count();
        if right < numbers.len() {
            let all = numbers.len();
            return Err(format!("{name}: only {right} of {all} files are right").into());
        }
        Ok(())
    }

    /// Reads files, and compares what the client has counted with what is on the bricks.
    fn read_counted(
        &self,
        name: &str,
        client: &mut dyn Client,
        source: &Source,
        numbers: &[usize],
    ) -> Answer<String> {
        let before = await_idle(source)?;
        let cold = self.cold();
        self.read_right(name, client, numbers)?;
        let after = await_idle(source)?;
        let left = self.cold();
        // The recalls of other clients have ended before, so these are this client's.
        let recalled: Vec<_> = cold
            .iter()
            .filter(|number| !left.contains(number))
            .collect();
        let bytes = recalled
            .iter()
            .map(|number| self.day.files.read(**number).content.size());
        let bytes: u64 = bytes.sum();
        let more = |metric: &str| after.sum(metric) - before.sum(metric);
        let counted = (
            more("cloudsync_recalls_started_total"),
            more("cloudsync_recalls_finished_total"),
            more("cloudsync_recalls_failed_total"),
            more("cloudsync_recalled_bytes_total"),
        );
        let count = recalled.len() as f64;
        if counted != (count, count, 0.0, bytes as f64) {
            return Err(format!(
                "{name}: started, finished, failed, bytes: {counted:?}; on the bricks: {count} files, {bytes} bytes"
            )
            .into());
        }
        let read = numbers.len();
        Ok(format!(
            "{name}: {read} files read, {count} recalled, {bytes} bytes"
        ))
    }

    /// What was found while the day lasted.
    pub(crate) fn faults(&mut self) {
        use std::sync::atomic::Ordering::Relaxed;
        let day = self.day;
        let work = day.work();
        let sum = |of: fn(&Work) -> u64| -> u64 { work.values().map(of).sum() };
        let found = format!(
            "{} reads with {} bytes, {} changes; {} looks at an older state",
            sum(|work| work.reads),
            sum(|work| work.bytes),
            sum(|work| work.changes),
            day.stale.load(Relaxed)
        );
        let name = "every_read_returns_the_files_bytes";
        self.checks.none(name, &day.faults(Kind::Bytes), found);
        let errors = day.errors();
        let counts = errors
            .iter()
            .map(|((event, name), count)| format!("{event}: {name} {count}"));
        let found = counts.collect::<Vec<_>>().join("\n");
        let name = "applications_get_only_allowed_errors";
        self.checks.none(name, &day.faults(Kind::Error), found);
        let early = errors.iter().filter(|((event, _), _)| *event == "none");
        let early: Vec<_> = early
            .map(|((_, name), count)| format!("{name} {count}"))
            .collect();
        let name = "no_error_before_the_first_event";
        self.checks.none(name, &early, String::new());
        let a = self.archiver;
        let found = format!(
            "{} runs ({} unfinished): {} files archived, {} bytes uploaded, {} objects deleted, {} checked",
            a.runs.load(Relaxed),
            a.unfinished.load(Relaxed),
            a.archived.load(Relaxed),
            a.uploaded_bytes.load(Relaxed),
            a.deleted.load(Relaxed),
            a.checked.load(Relaxed)
        );
        let mut wrong = day.faults(Kind::Other);
        if [&a.archived, &a.deleted, &a.checked]
            .iter()
            .any(|n| n.load(Relaxed) == 0)
        {
            wrong.push("the archiver has not done all of its work".to_owned());
        }
        self.checks
            .none("archiver_and_events_do_their_work", &wrong, found);
    }
}

/// Waits until nothing is in progress, and returns the metrics then.
fn await_idle(source: &Source) -> Answer<Metrics> {
    let mut last = Vec::new();
    // A program's metrics are a second old: two looks in a row must be the same.
    let mut before = None;
    let idle = until(PATIENCE, "the end of all jobs", || {
        let now = source.metrics()?;
        last = now.busy();
        let key = now.sum("cloudsync_recalls_") + now.sum("cloudsync_store_request_seconds_count");
        let same = before == Some(key);
        before = Some(key);
        std::thread::sleep(Duration::from_millis(1500));
        (last.is_empty() && same).then_some(now)
    });
    idle.map_err(|why| format!("{why}: {last:?}").into())
}
