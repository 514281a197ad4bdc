// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A client dies before and after each step. Which points there are is not written here: a client that is left alone
//! tells the points that it comes to, and then for each of them another dies there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::{Artifacts, Mount, MountOptions, until};
use cloudsync_logic::crash::STEPS;

use super::acts::{Act, PLAYS, content, step};
use super::{Stage, VARIABLE, cut, lab, translator, within};
use crate::scene::{PATIENCE, assert_same};

/// Clients that die at once.
const AT_ONCE: usize = 4;
/// "At once", for a lock that a dead client had: less than a brick would wait for it to come back.
const AT_MOST: Duration = Duration::from_secs(10);

/// Does it for each, some at once.
fn for_each<T: Sync>(all: &[T], work: impl Fn(&T) + Sync) {
    let left = Mutex::new(all.iter());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(one) = next() {
                    work(one);
                }
            });
        }
    });
}

impl Act {
    /// Has a client of its own do it, with this in its environment.
    fn run(
        &self,
        stage: &Stage,
        name: &str,
        variable: &str,
        value: &str,
    ) -> (Mount, io::Result<()>) {
        let options = MountOptions::default().env(variable, value);
        let mount = stage.volume.mount(&options).unwrap();
        let act = self.act;
        let result = within(&mount, self.name, name, move |path| act(&path));
        (mount, result)
    }

    /// The points that a client comes to which lives.
    fn trace(&self, stage: &Stage, mount: &Mount) -> Vec<String> {
        let name = format!("{}-lives", self.name);
        (self.prepare)(stage, mount, &name);
        let file = lab().scratch(&format!("{}-{}.trace", stage.volume.name(), self.name));
        stage.take_away(self.store_away);
        let (client, result) = self.run(
            stage,
            &name,
            "CLOUDSYNC_CRASH_TRACE",
            file.to_str().unwrap(),
        );
        let ended = result.err().and_then(|error| error.raw_os_error());
        assert_eq!(ended, self.ends, "{name}\n{}", client.log());
        let last = self.last;
        stage.take_away(false);
        let points = until(PATIENCE, last, || {
            let text = fs::read_to_string(lab().outer(&file)).ok()?;
            text.lines().any(|line| line == last).then_some(text)
        });
        points.unwrap().lines().map(str::to_owned).collect()
    }

    /// Clients die at all points of it, and others find everything as it should be. Returns the points that there are,
    /// and at how many of them a client died.
    fn play(&self, stage: &Stage) -> (Vec<String>, usize) {
        let mount = stage.mount();
        let points = self.trace(stage, &mount);
        let dies = (self.dies)(&points);
        assert!(!dies.is_empty(), "{}: {points:?}", self.name);
        let cases: Vec<_> = dies
            .iter()
            .enumerate()
            .map(|(number, point)| (format!("{}-{number}", self.name), point))
            .collect();
        for (name, _) in &cases {
            (self.prepare)(stage, &mount, name);
        }
        stage.take_away(self.store_away);
        for_each(&cases, |(name, point)| self.die(stage, name, point));
        stage.take_away(false);
        drop(mount);
        let mount = stage.mount();
        for_each(&cases, |(name, point)| {
            self.check(stage, &mount, name, point)
        });
        (points, cases.len())
    }

    fn die(&self, stage: &Stage, name: &str, point: &str) {
        let (client, result) = self.run(stage, name, VARIABLE, point);
        let dead = until(PATIENCE, "its death", || (!client.alive()).then_some(()));
        dead.unwrap_or_else(|_| {
            let log = client.log();
            panic!("{name}: the client did not die {point}: {result:?}\n{log}")
        });
    }

    /// Another client finds no lock, the bytes, and nothing that anybody can trip over.
    fn check(&self, stage: &Stage, mount: &Mount, name: &str, point: &str) {
        let what = format!("{name}, died {point}: {}", stage.volume.marks(name));
        let bytes = content(name);
        let begun = Instant::now();
        let (shown, read) = within(mount, &what, name, |path| {
            let shown = fs::metadata(&path).unwrap().len();
            (shown, fs::read(path))
        });
        let read = read.unwrap_or_else(|error| panic!("{what}: {error}\n{}", mount.log()));
        if !(self.fits)(&read, &bytes) {
            assert_same(&read, &bytes, &what);
        }
        assert_eq!(shown, read.len() as u64, "{what}");
        // An erasure-coded volume may not show it to the first who looks.
        stage.volume.await_tidied(name, &what, || {
            within(mount, &what, name, fs::metadata).unwrap();
        });
        // Whatever it was that takes the lock: it is free.
        stage.put(name, &read);
        let next = within(mount, &what, name, |path| cut(&path));
        let next = next.err().and_then(|error| error.raw_os_error());
        assert_eq!(next, self.next, "{what}\n{}", mount.log());
        assert_eq!(stage.volume.is_cold(name), next.is_none(), "{what}");
        let again = within(mount, &what, name, fs::read);
        assert_same(&again.unwrap(), &read, &what);
        stage.volume.await_plain(name, &what);
        let took = begun.elapsed();
        assert!(took < AT_MOST, "{what}: {took:?}");
    }
}

/// For each point: the client dies there, another comes, and the file has its bytes or is cold and is recalled.
#[test]
fn a_client_that_dies_at_any_step_leaves_a_file_that_reads() {
    let mut came = BTreeSet::new();
    let mut deaths = 0;
    for (volume, layout, settings, acts) in PLAYS {
        let stage = Stage::new(volume, layout, settings);
        for act in acts {
            let begun = Instant::now();
            let (points, died) = act.play(&stage);
            eprintln!(
                "{volume}, {}: {} points, {died} clients died, {:.1?}",
                act.name,
                points.len(),
                begun.elapsed()
            );
            came.extend(points.iter().map(|point| step(point).to_owned()));
            deaths += died;
        }
    }
    eprintln!("{deaths} clients died");
    let all: BTreeSet<_> = STEPS.iter().map(|step| (*step).to_owned()).collect();
    assert_eq!(
        came, all,
        "the steps that clients came to, and those of crates/logic/src/crash.rs"
    );
}

/// The points are in the build of these tests, which shows that they can be found, and in no other.
#[test]
fn what_is_installed_has_no_crash_points() {
    let has = |file: &Path| {
        let bytes = fs::read(file).unwrap();
        let mut places = bytes.windows(VARIABLE.len());
        places.any(|place| place == VARIABLE.as_bytes())
    };
    assert!(has(&translator()), "not found where they are");
    let shipped = Artifacts::find(&["amazons3", "directory"]).unwrap();
    for file in shipped.plugins.iter().chain([&shipped.translator]) {
        assert!(!has(file), "{}", file.display());
    }
}
