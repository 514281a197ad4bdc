// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The operations during which clients die, and the volumes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use cloudsync_lab::{Layout, Mount};

use super::{Stage, handshake, within};
use crate::scene::pattern;

/// Recalled in three writes.
const LENGTH: usize = (2 << 20) + 500_000;
/// How much the truncation keeps.
const KEEP: usize = (1 << 20) + 1000;
/// An operation during which clients die.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Creates the file, through a client that does not die.
    pub(super) prepare: fn(&Stage, &Mount, &str),
    /// The operation.
    pub(super) operation: fn(&Path) -> io::Result<()>,
    /// The errno it ends with if the client survives; none on success.
    pub(super) errno: Option<i32>,
    /// The last point that it passes.
    pub(super) last_point: &'static str,
    /// Whether the store is unavailable meanwhile.
    pub(super) store_away: bool,
    /// Selects the points at which clients die.
    pub(super) dies_at: fn(&[String]) -> Vec<String>,
    /// Whether the file may have this content afterwards.
    pub(super) allows: fn(&[u8], &[u8]) -> bool,
    /// The errno of the next handshake; none on success.
    pub(super) next_errno: Option<i32>,
}

const RECALL: Scenario = Scenario {
    name: "recall",
    prepare: make_cold,
    operation: |path| fs::read(path).map(drop),
    errno: None,
    last_point: "after resume#1",
    store_away: false,
    dies_at: sure,
    allows: |got, bytes| got == bytes,
    next_errno: None,
};

const ARCHIVE: Scenario = Scenario {
    name: "archive",
    prepare: make_local,
    operation: handshake,
    last_point: "after answer#1",
    ..RECALL
};

/// A recall after another client died during one: the file has some of the object's bytes, and a mark that does not name
/// its owner.
const HEAL: Scenario = Scenario {
    name: "heal",
    prepare: |stage, mount, name| {
        make_cold(stage, mount, name);
        for copy in stage.volume.copies(name) {
            xattr::set(&copy, "trusted.glusterfs.cs.downloading", b"1").unwrap();
            let file = File::options().write(true).open(copy).unwrap();
            file.set_len(LENGTH as u64).unwrap();
            let passed = &content(name)[1 << 20..][..100_000];
            file.write_all_at(passed, 1 << 20).unwrap();
        }
    },
    dies_at: |points| after_each(until_point(points, "before mark#1")),
    ..RECALL
};

/// A recall of a small file: one write, no mark.
const SMALL: Scenario = Scenario {
    name: "small",
    ..RECALL
};

/// A truncation of a small file, which recalls what it keeps.
const SMALL_KEEPING: Scenario = Scenario {
    name: "small-keep",
    operation: |path| File::options().write(true).open(path)?.set_len(1000),
    dies_at: |points| after_each(from_point(points, "before lock#1")),
    allows: |got, bytes| got == bytes || got == &bytes[..1000],
    ..RECALL
};

/// A read finds bytes in a cold file that no recall has written: they become the file.
const FOREIGN: Scenario = Scenario {
    name: "foreign",
    prepare: |stage, mount, name| {
        make_cold(stage, mount, name);
        for copy in stage.volume.copies(name) {
            fs::write(copy, FOREIGN_BYTES).unwrap();
        }
    },
    dies_at: |points| with(points, &["record the kept object", "commit"]),
    allows: |got, _| got == FOREIGN_BYTES,
    last_point: "after unlock#1",
    ..RECALL
};
const FOREIGN_BYTES: &[u8] = b"written while the feature was off";

/// Root accepts another version of the object.
const ADOPT: Scenario = Scenario {
    name: "adopt",
    prepare: make_cold,
    operation: |path| {
        let version = xattr::get(path, "trusted.glusterfs.cs.version")?.unwrap();
        let value = [b"etag=", version.as_slice()].concat();
        xattr::set(path, "glusterfs.cloudsync.adopt", &value)
    },
    dies_at: |points| after_each(points.to_vec()),
    last_point: "after unlock#1",
    ..RECALL
};

/// A lookup finds the mark of a handshake whose client died.
const UNMARK: Scenario = Scenario {
    name: "unmark",
    prepare: |stage, mount, name| {
        make_local(stage, mount, name);
        for copy in stage.volume.copies(name) {
            xattr::set(copy, "trusted.glusterfs.cs.downloading", b"1").unwrap();
        }
    },
    dies_at: |points| after_each(points.to_vec()),
    ..RECALL
};

/// The points that are passed in every run: the number of requests and writes depends on what readers have fetched
/// already.
fn sure(points: &[String]) -> Vec<String> {
    let few = |point: &&String| match point.split_once('#') {
        Some((point, number)) if point.ends_with(" write") => matches!(number, "1" | "2" | "3"),
        Some((point, number)) if point.ends_with(" fetch") => number == "1",
        _ => true,
    };
    points.iter().filter(few).cloned().collect()
}

/// A recall that fails truncates what it wrote.
const FAILED: Scenario = Scenario {
    name: "failed",
    errno: Some(libc::EHOSTUNREACH),
    store_away: true,
    dies_at: |points| {
        let mut mending = after_each(from_point(points, "after fetch#1"));
        // The kernel may or may not ask again, which starts another recall.
        mending.retain(|point| point.ends_with("#1"));
        with(&mending, &["fetch", "truncate", "fsync", "unmark"])
    },
    ..RECALL
};

/// A handshake that is refused after it marked the file.
const REFUSED: Scenario = Scenario {
    name: "refused",
    errno: Some(libc::EOPNOTSUPP),
    dies_at: |points| after_each(from_point(points, "before undo#1")),
    next_errno: Some(libc::EOPNOTSUPP),
    ..ARCHIVE
};

/// Truncating a cold file to zero fetches nothing.
const EMPTY: Scenario = Scenario {
    name: "empty",
    operation: |path| {
        let mut options = File::options();
        options.write(true).truncate(true).open(path).map(drop)
    },
    dies_at: |points| after_each(from_point(points, "after open#1")),
    allows: |got, bytes| got.is_empty() || got == bytes,
    ..RECALL
};

/// A truncation fetches what it keeps.
const KEEPING: Scenario = Scenario {
    name: "keep",
    operation: |path| File::options().write(true).open(path)?.set_len(KEEP as u64),
    dies_at: |points| after_each(from_point(points, "before fsync#1")),
    allows: |got, bytes| got == bytes || got == &bytes[..KEEP],
    ..RECALL
};

/// A lookup finds what a client left behind that died after its commit.
const TIDY: Scenario = Scenario {
    name: "tidy",
    prepare: |stage, mount, name| {
        make_local(stage, mount, name);
        for copy in stage.volume.copies(name) {
            for left in ["object_size", "num_blocks", "block_size", "key", "version"] {
                xattr::set(&copy, format!("trusted.glusterfs.cs.{left}"), b"12345").unwrap();
            }
        }
    },
    operation: |path| {
        assert_eq!(fs::metadata(path)?.len(), LENGTH as u64);
        Ok(())
    },
    dies_at: |points| after_each(points.to_vec()),
    ..RECALL
};

/// Where the bricks keep the times (features.ctime off), recalls and handshakes restore them.
const TIMES: Scenario = Scenario {
    name: "times",
    dies_at: |points| with(points, &["restore the times", "unmark"]),
    ..RECALL
};
const CUT_TIMES: Scenario = Scenario {
    name: "cut-times",
    dies_at: |points| with(points, &["restore the times", "unmark"]),
    ..ARCHIVE
};

/// Only the points after each step: a death before a step leaves the same state as one after the step before it.
fn after_each(points: Vec<String>) -> Vec<String> {
    let after_each = sure(&points)
        .into_iter()
        .filter(|point| point.starts_with("after"));
    after_each.collect()
}

/// The points after the steps that change the bricks, for layouts with several bricks.
fn changes(points: &[String]) -> Vec<String> {
    let steps = [
        "mark",
        "make room",
        "write",
        "unmark",
        "commit",
        "tidy up",
        "record the object",
        "set cs.remote",
        "truncate",
    ];
    let changes = after_each(with(points, &steps)).into_iter();
    changes
        .filter(|point| step(point) != "tidy up" || point.ends_with("#1"))
        .collect()
}

/// The steps that change bricks, on a volume with several.
const RECALL_CHANGES: Scenario = Scenario {
    dies_at: changes,
    ..RECALL
};
const SMALL_CHANGES: Scenario = Scenario {
    dies_at: changes,
    ..SMALL
};
const ARCHIVE_CHANGES: Scenario = Scenario {
    dies_at: changes,
    ..ARCHIVE
};

/// A volume, and the scenarios on it.
pub(super) type Suite = (
    &'static str,
    Layout,
    &'static [(&'static str, &'static str)],
    &'static [Scenario],
);

const DISPERSE: Layout = Layout::Disperse {
    bricks: 3,
    redundancy: 1,
};

pub(super) const SUITES: [Suite; 5] = [
    (
        "crash",
        Layout::Single,
        &[],
        &[
            RECALL,
            SMALL,
            SMALL_KEEPING,
            ARCHIVE,
            HEAL,
            FOREIGN,
            ADOPT,
            UNMARK,
            FAILED,
            EMPTY,
            KEEPING,
            TIDY,
        ],
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
        &[RECALL_CHANGES, SMALL_CHANGES, ARCHIVE_CHANGES],
    ),
    (
        "crash-disperse",
        DISPERSE,
        &[],
        &[RECALL_CHANGES, SMALL_CHANGES, ARCHIVE_CHANGES],
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
pub(super) fn step(point: &str) -> &str {
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
    within(mount, "archive", name, |path| handshake(&path)).unwrap();
    assert!(stage.volume.is_cold(name), "{name}");
}

pub(super) fn content(name: &str) -> Vec<u8> {
    let step = |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte));
    let seed = name.bytes().fold(7, step);
    let length = if name.starts_with("small") {
        100_000
    } else {
        LENGTH
    };
    pattern(seed, length)
}
