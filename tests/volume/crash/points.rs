// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A client dies before and after each step. The points are not listed here: a client that survives records the points
//! that it passes, and then for each of them another client dies there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::{Artifacts, Mount, MountOptions, until};
use cloudsync_logic::crash::STEPS;

use super::acts::{SUITES, Scenario, content, step};
use super::{Stage, VARIABLE, handshake, lab, translator, within};
use crate::scene::{PATIENCE, assert_same};

/// How many clients die at a time.
const CONCURRENT: usize = 4;
/// Time limit for a check. It shows that a dead client's lock was free: a brick would wait longer for its reconnect.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Runs `work` for each, some of them concurrently.
fn for_each<T: Sync>(all: &[T], work: impl Fn(&T) + Sync) {
    let left = Mutex::new(all.iter());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..CONCURRENT {
            scope.spawn(|| {
                while let Some(one) = next() {
                    work(one);
                }
            });
        }
    });
}

impl Scenario {
    /// Runs the operation through a client of its own, with a variable in its environment.
    fn run(
        &self,
        stage: &Stage,
        name: &str,
        variable: &str,
        value: &str,
    ) -> (Mount, io::Result<()>) {
        let options = MountOptions::default().env(variable, value);
        let mount = stage.volume.mount(&options).unwrap();
        let scenario = self.operation;
        let result = within(&mount, self.name, name, move |path| scenario(&path));
        (mount, result)
    }

    /// Records the points that a surviving client passes.
    fn trace(&self, stage: &Stage, mount: &Mount) -> Vec<String> {
        let name = format!("{}-lives", self.name);
        (self.prepare)(stage, mount, &name);
        let file = lab().scratch(&format!("{}-{}.trace", stage.volume.name(), self.name));
        stage.set_store_away(self.store_away);
        let (client, result) = self.run(
            stage,
            &name,
            "CLOUDSYNC_CRASH_TRACE",
            file.to_str().unwrap(),
        );
        let ended = result.err().and_then(|error| error.raw_os_error());
        assert_eq!(ended, self.errno, "{name}\n{}", client.log());
        let last = self.last_point;
        stage.set_store_away(false);
        let points = until(PATIENCE, last, || {
            let text = fs::read_to_string(lab().outer(&file)).ok()?;
            text.lines().any(|line| line == last).then_some(text)
        });
        points.unwrap().lines().map(str::to_owned).collect()
    }

    /// Clients die at all selected points, and another one checks the files. Returns the points that there are and at how
    /// many of them a client died.
    fn run_all(&self, stage: &Stage) -> (Vec<String>, usize) {
        let mount = stage.mount();
        let points = self.trace(stage, &mount);
        let dies_at = (self.dies_at)(&points);
        assert!(!dies_at.is_empty(), "{}: {points:?}", self.name);
        let cases: Vec<_> = dies_at
            .iter()
            .enumerate()
            .map(|(number, point)| (format!("{}-{number}", self.name), point))
            .collect();
        for (name, _) in &cases {
            (self.prepare)(stage, &mount, name);
        }
        stage.set_store_away(self.store_away);
        for_each(&cases, |(name, point)| self.die(stage, name, point));
        stage.set_store_away(false);
        drop(mount);
        let mount = stage.mount();
        for_each(&cases, |(name, point)| {
            self.check(stage, &mount, name, point)
        });
        (points, cases.len())
    }

    fn die(&self, stage: &Stage, name: &str, point: &str) {
        let (client, result) = self.run(stage, name, VARIABLE, point);
        let dead = until(PATIENCE, "the client's death", || {
            (!client.alive()).then_some(())
        });
        dead.unwrap_or_else(|_| {
            let log = client.log();
            panic!("{name}: the client did not die {point}: {result:?}\n{log}")
        });
    }

    /// Another client finds no lock held, the right bytes, and no leftovers.
    fn check(&self, stage: &Stage, mount: &Mount, name: &str, point: &str) {
        let what = format!("{name}, died {point}: {}", stage.volume.marks(name));
        let bytes = content(name);
        let started = Instant::now();
        let (shown, read) = within(mount, &what, name, |path| {
            let shown = fs::metadata(&path).unwrap().len();
            (shown, fs::read(path))
        });
        let read = read.unwrap_or_else(|error| panic!("{what}: {error}\n{}", mount.log()));
        if !(self.allows)(&read, &bytes) {
            assert_same(&read, &bytes, &what);
        }
        assert_eq!(shown, read.len() as u64, "{what}");
        // A dispersed volume may not show it to the first lookup.
        stage.volume.await_cleanup(name, &what, || {
            within(mount, &what, name, fs::metadata).unwrap();
        });
        // The lock is free, whichever operation takes it.
        stage.put(name, &read);
        let next = within(mount, &what, name, |path| handshake(&path));
        let next = next.err().and_then(|error| error.raw_os_error());
        assert_eq!(next, self.next_errno, "{what}\n{}", mount.log());
        assert_eq!(stage.volume.is_cold(name), next.is_none(), "{what}");
        let again = within(mount, &what, name, fs::read);
        assert_same(&again.unwrap(), &read, &what);
        stage.volume.await_local(name, &what);
        let took = started.elapsed();
        assert!(took < TIME_LIMIT, "{what}: {took:?}");
    }
}

/// For each point: the client dies there, and another one reads the file's bytes, recalling them if it is cold.
#[test]
fn a_file_reads_correctly_after_a_client_dies_at_any_step() {
    let mut passed = BTreeSet::new();
    let mut deaths = 0;
    for (volume, layout, settings, scenarios) in SUITES {
        let stage = Stage::new(volume, layout, settings);
        for scenario in scenarios {
            let started = Instant::now();
            let (points, died) = scenario.run_all(&stage);
            eprintln!(
                "| {volume}, {} | {} points, {died} clients died, {:.1?} |",
                scenario.name,
                points.len(),
                started.elapsed()
            );
            passed.extend(points.iter().map(|point| step(point).to_owned()));
            deaths += died;
        }
    }
    eprintln!("| all scenarios | {deaths} clients died |");
    let all: BTreeSet<_> = STEPS.iter().map(|step| (*step).to_owned()).collect();
    assert_eq!(
        passed, all,
        "the steps that clients passed, and those of crates/logic/src/crash.rs"
    );
}

/// The build for these tests has the points, which shows that the search works; no other build has them.
#[test]
fn released_builds_have_no_crash_points() {
    let has = |file: &Path| {
        let bytes = fs::read(file).unwrap();
        let mut places = bytes.windows(VARIABLE.len());
        places.any(|place| place == VARIABLE.as_bytes())
    };
    assert!(has(&translator()), "the search does not find them");
    let shipped = Artifacts::find(&["amazons3", "directory"]).unwrap();
    for file in shipped.plugins.iter().chain([&shipped.translator]) {
        assert!(!has(file), "{}", file.display());
    }
}
