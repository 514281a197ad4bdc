// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A client dies before and after each step. Which points there are is not written here: a client that is left alone
//! tells the points that it comes to, and then for each of them another dies there.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cloudsync::host::crash::STEPS;
use cloudsync_lab::{Artifacts, Layout, Mount, MountOptions, until};

use super::{Stage, VARIABLE, cut, lab, translator, within};
use crate::marks;
use crate::scene::{PATIENCE, assert_same, pattern};

/// Three writes.
const LENGTH: usize = (2 << 20) + 500_000;
/// What is left by the truncation that leaves something.
const KEEP: usize = (1 << 20) + 1000;
/// Clients that die at once.
const AT_ONCE: usize = 4;
/// "At once", for a lock that a dead client had: less than a brick would wait for it to come back.
const AT_MOST: Duration = Duration::from_secs(10);

/// What a client does when it dies.
struct Act {
    name: &'static str,
    /// Makes the file, by a client that lives.
    prepare: fn(&Stage, &Mount, &str),
    /// What the client does that may die.
    act: fn(&Path) -> io::Result<()>,
    /// How that ends, if it does not.
    ends: Option<i32>,
    /// The last point of it.
    last: &'static str,
    /// Whether the store is away meanwhile.
    store_away: bool,
    /// Of the points, those at which clients die.
    dies: fn(&[String]) -> Vec<String>,
    /// What the file may be afterwards.
    fits: fn(&[u8], &[u8]) -> bool,
    /// How the next hand-shake ends.
    next: Option<i32>,
}

const RECALL: Act = Act {
    name: "recall",
    prepare: make_cold,
    act: |path| fs::read(path).map(drop),
    ends: None,
    last: "after resume#1",
    store_away: false,
    dies: <[String]>::to_vec,
    fits: |got, bytes| got == bytes,
    next: None,
};

const ARCHIVE: Act = Act {
    name: "archive",
    prepare: make_local,
    act: cut,
    last: "after answer#1",
    ..RECALL
};

/// A recall that finds what another client left that died in one.
const HEAL: Act = Act {
    name: "heal",
    prepare: |stage, mount, name| {
        make_cold(stage, mount, name);
        for copy in marks::copies(&stage.volume, name) {
            xattr::set(&copy, "trusted.glusterfs.cs.downloading", b"1").unwrap();
            let file = File::options().write(true).open(copy).unwrap();
            file.set_len(LENGTH as u64).unwrap();
            file.write_all_at(&[0xaa; 100_000], 1 << 20).unwrap();
        }
    },
    dies: |points| ends(until_point(points, "before mark#1")),
    ..RECALL
};

/// The same of a hand-shake.
const UNMARK: Act = Act {
    name: "unmark",
    prepare: |stage, mount, name| {
        make_local(stage, mount, name);
        for copy in marks::copies(&stage.volume, name) {
            xattr::set(copy, "trusted.glusterfs.cs.downloading", b"1").unwrap();
        }
    },
    dies: |points| ends(points.to_vec()),
    ..RECALL
};

/// A recall that fails cuts what it wrote.
const FAILED: Act = Act {
    name: "failed",
    ends: Some(libc::EHOSTUNREACH),
    store_away: true,
    dies: |points| {
        let mending = ends(from_point(points, "after ask the store#1"));
        with(&mending, &["ask the store", "cut", "fsync", "unmark"])
    },
    ..RECALL
};

/// A hand-shake that is refused after it has marked the file.
const REFUSED: Act = Act {
    name: "refused",
    ends: Some(libc::EOPNOTSUPP),
    dies: |points| ends(from_point(points, "before undo#1")),
    next: Some(libc::EOPNOTSUPP),
    ..ARCHIVE
};

/// Emptying a cold file fetches nothing.
const EMPTY: Act = Act {
    name: "empty",
    act: |path| {
        let mut options = File::options();
        options.write(true).truncate(true).open(path).map(drop)
    },
    dies: |points| ends(from_point(points, "after open#1")),
    fits: |got, bytes| got.is_empty() || got == bytes,
    ..RECALL
};

/// A truncation fetches what it keeps.
const KEEPING: Act = Act {
    name: "keep",
    act: |path| File::options().write(true).open(path)?.set_len(KEEP as u64),
    dies: |points| ends(from_point(points, "before fsync#1")),
    fits: |got, bytes| got == bytes || got == &bytes[..KEEP],
    ..RECALL
};

/// A lookup finds what a client left that died after its commit.
const TIDY: Act = Act {
    name: "tidy",
    prepare: |stage, mount, name| {
        make_local(stage, mount, name);
        for copy in marks::copies(&stage.volume, name) {
            for left in ["object_size", "num_blocks", "block_size", "key", "version"] {
                xattr::set(&copy, format!("trusted.glusterfs.cs.{left}"), b"12345").unwrap();
            }
        }
    },
    act: |path| {
        assert_eq!(fs::metadata(path)?.len(), LENGTH as u64);
        Ok(())
    },
    dies: |points| ends(points.to_vec()),
    ..RECALL
};

/// Where the bricks keep the times (features.ctime off), a recall and a hand-shake put them back.
const TIMES: Act = Act {
    name: "times",
    dies: |points| with(points, &["restore the times", "unmark"]),
    ..RECALL
};
const CUT_TIMES: Act = Act {
    name: "cut-times",
    dies: |points| with(points, &["restore the times", "unmark"]),
    ..ARCHIVE
};

/// Where a client does not die at every point: what is not done yet is there what the step before has done.
fn ends(points: Vec<String>) -> Vec<String> {
    let ends = points
        .into_iter()
        .filter(|point| point.starts_with("after"));
    ends.collect()
}

/// On layouts with several bricks: the steps after which these have something else than before.
fn changes(points: &[String]) -> Vec<String> {
    let steps = [
        "mark",
        "make room",
        "write",
        "unmark",
        "commit",
        "tidy up",
        "write down the object",
        "set cs.remote",
        "cut",
    ];
    let changes = ends(with(points, &steps)).into_iter();
    changes
        .filter(|point| step(point) != "tidy up" || point.ends_with("#1"))
        .collect()
}

/// The steps of all bricks of a volume with several.
const RECALL_CHANGES: Act = Act {
    dies: changes,
    ..RECALL
};
const ARCHIVE_CHANGES: Act = Act {
    dies: changes,
    ..ARCHIVE
};

/// A volume, and what is done on it.
type Play = (
    &'static str,
    Layout,
    &'static [(&'static str, &'static str)],
    &'static [Act],
);

const DISPERSE: Layout = Layout::Disperse {
    bricks: 3,
    redundancy: 1,
};

const PLAYS: [Play; 5] = [
    (
        "crash",
        Layout::Single,
        &[],
        &[RECALL, ARCHIVE, HEAL, UNMARK, FAILED, EMPTY, KEEPING, TIDY],
    ),
    (
        "crash-ctime-off",
        Layout::Single,
        &[("features.ctime", "off")],
        &[TIMES, CUT_TIMES],
    ),
    (
        "crash-linux-aio",
        Layout::Single,
        &[("storage.linux-aio", "on")],
        &[REFUSED],
    ),
    (
        "crash-replica",
        Layout::Replica(3),
        &[],
        &[RECALL_CHANGES, ARCHIVE_CHANGES],
    ),
    (
        "crash-disperse",
        DISPERSE,
        &[],
        &[RECALL_CHANGES, ARCHIVE_CHANGES],
    ),
];

fn until_point(points: &[String], last: &str) -> Vec<String> {
    let points = points.iter().take_while(|point| *point != last);
    points.cloned().collect()
}

fn from_point(points: &[String], first: &str) -> Vec<String> {
    let points = points.iter().skip_while(|point| *point != first);
    points.cloned().collect()
}

fn with(points: &[String], steps: &[&str]) -> Vec<String> {
    let points = points.iter().filter(|point| steps.contains(&step(point)));
    points.cloned().collect()
}

/// `mark` of `before mark#1`.
fn step(point: &str) -> &str {
    let (_, rest) = point.split_once(' ').unwrap();
    rest.rsplit_once('#').unwrap().0
}

fn make_local(stage: &Stage, mount: &Mount, name: &str) {
    let bytes = content(name);
    stage.put(name, &bytes);
    within(mount, "write", name, move |path| fs::write(path, bytes)).unwrap();
}

fn make_cold(stage: &Stage, mount: &Mount, name: &str) {
    make_local(stage, mount, name);
    within(mount, "archive", name, |path| cut(&path)).unwrap();
    assert!(marks::is_cold(&stage.volume, name), "{name}");
}

fn content(name: &str) -> Vec<u8> {
    let step = |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte));
    let seed = name.bytes().fold(7, step);
    pattern(seed, LENGTH)
}

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
        let what = format!(
            "{name}, died {point}: {}",
            marks::marks(&stage.volume, name)
        );
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
        assert!(
            marks::is_plain(&stage.volume, name),
            "{what}: {}",
            marks::marks(&stage.volume, name)
        );
        // Whatever it was that takes the lock: it is free.
        stage.put(name, &read);
        let next = within(mount, &what, name, |path| cut(&path));
        let next = next.err().and_then(|error| error.raw_os_error());
        assert_eq!(next, self.next, "{what}\n{}", mount.log());
        assert_eq!(
            marks::is_cold(&stage.volume, name),
            next.is_none(),
            "{what}"
        );
        let again = within(mount, &what, name, fs::read);
        assert_same(&again.unwrap(), &read, &what);
        assert!(marks::is_plain(&stage.volume, name), "{what}");
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
        "the steps that clients came to, and those of src/host/crash.rs"
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
