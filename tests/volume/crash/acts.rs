// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What clients do when they die, and on which volumes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use cloudsync_lab::{Layout, Mount};

use super::{Stage, cut, within};
use crate::scene::pattern;

/// Three writes.
const LENGTH: usize = (2 << 20) + 500_000;
/// What is left by the truncation that leaves something.
const KEEP: usize = (1 << 20) + 1000;
/// What a client does when it dies.
pub(super) struct Act {
    pub(super) name: &'static str,
    /// Makes the file, by a client that lives.
    pub(super) prepare: fn(&Stage, &Mount, &str),
    /// What the client does that may die.
    pub(super) act: fn(&Path) -> io::Result<()>,
    /// How that ends, if it does not.
    pub(super) ends: Option<i32>,
    /// The last point of it.
    pub(super) last: &'static str,
    /// Whether the store is away meanwhile.
    pub(super) store_away: bool,
    /// Of the points, those at which clients die.
    pub(super) dies: fn(&[String]) -> Vec<String>,
    /// What the file may be afterwards.
    pub(super) fits: fn(&[u8], &[u8]) -> bool,
    /// How the next handshake ends.
    pub(super) next: Option<i32>,
}

const RECALL: Act = Act {
    name: "recall",
    prepare: make_cold,
    act: |path| fs::read(path).map(drop),
    ends: None,
    last: "after resume#1",
    store_away: false,
    dies: sure,
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

/// A recall that finds what another client left that died in one: some of the object's bytes, and a mark that does not say
/// whose it is.
const HEAL: Act = Act {
    name: "heal",
    prepare: |stage, mount, name| {
        make_cold(stage, mount, name);
        for copy in stage.volume.copies(name) {
            xattr::set(&copy, "trusted.glusterfs.cs.downloading", b"1").unwrap();
            let file = File::options().write(true).open(copy).unwrap();
            file.set_len(LENGTH as u64).unwrap();
            let came = &content(name)[1 << 20..][..100_000];
            file.write_all_at(came, 1 << 20).unwrap();
        }
    },
    dies: |points| ends(until_point(points, "before mark#1")),
    ..RECALL
};

/// A recall of a file that comes in one write, which has no mark.
const SMALL: Act = Act {
    name: "small",
    ..RECALL
};

/// The same of what a truncation keeps of one.
const SMALL_KEEPING: Act = Act {
    name: "small-keep",
    act: |path| File::options().write(true).open(path)?.set_len(1000),
    dies: |points| ends(from_point(points, "before lock#1")),
    fits: |got, bytes| got == bytes || got == &bytes[..1000],
    ..RECALL
};

/// A reader finds bytes in a cold file that no recall has written: they are the file.
const FOREIGN: Act = Act {
    name: "foreign",
    prepare: |stage, mount, name| {
        make_cold(stage, mount, name);
        for copy in stage.volume.copies(name) {
            fs::write(copy, SOMEBODY_S).unwrap();
        }
    },
    dies: |points| with(points, &["note the object", "commit"]),
    fits: |got, _| got == SOMEBODY_S,
    last: "after unlock#1",
    ..RECALL
};
const SOMEBODY_S: &[u8] = b"written while the feature was off";

/// Root says that the object has another version now.
const ADOPT: Act = Act {
    name: "adopt",
    prepare: make_cold,
    act: |path| {
        let version = xattr::get(path, "trusted.glusterfs.cs.version")?.unwrap();
        let value = [b"etag=", version.as_slice()].concat();
        xattr::set(path, "glusterfs.cloudsync.adopt", &value)
    },
    dies: |points| ends(points.to_vec()),
    last: "after unlock#1",
    ..RECALL
};

/// The same of a handshake.
const UNMARK: Act = Act {
    name: "unmark",
    prepare: |stage, mount, name| {
        make_local(stage, mount, name);
        for copy in stage.volume.copies(name) {
            xattr::set(copy, "trusted.glusterfs.cs.downloading", b"1").unwrap();
        }
    },
    dies: |points| ends(points.to_vec()),
    ..RECALL
};

/// The points that there are each time: how many requests and writes a file takes depends on what its readers have
/// fetched of it.
fn sure(points: &[String]) -> Vec<String> {
    let few = |point: &&String| match point.split_once('#') {
        Some((point, number)) if point.ends_with(" write") => matches!(number, "1" | "2" | "3"),
        Some((point, number)) if point.ends_with(" fetch") => number == "1",
        _ => true,
    };
    points.iter().filter(few).cloned().collect()
}

/// A recall that fails cuts what it wrote.
const FAILED: Act = Act {
    name: "failed",
    ends: Some(libc::EHOSTUNREACH),
    store_away: true,
    dies: |points| {
        let mut mending = ends(from_point(points, "after fetch#1"));
        // The kernel may ask again, which starts another recall, or not.
        mending.retain(|point| point.ends_with("#1"));
        with(&mending, &["fetch", "cut", "fsync", "unmark"])
    },
    ..RECALL
};

/// A handshake that is refused after it has marked the file.
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
        for copy in stage.volume.copies(name) {
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

/// Where the bricks keep the times (features.ctime off), a recall and a handshake put them back.
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
    let ends = sure(&points)
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
const SMALL_CHANGES: Act = Act {
    dies: changes,
    ..SMALL
};
const ARCHIVE_CHANGES: Act = Act {
    dies: changes,
    ..ARCHIVE
};

/// A volume, and what is done on it.
pub(super) type Play = (
    &'static str,
    Layout,
    &'static [(&'static str, &'static str)],
    &'static [Act],
);

const DISPERSE: Layout = Layout::Disperse {
    bricks: 3,
    redundancy: 1,
};

pub(super) const PLAYS: [Play; 5] = [
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
    within(mount, "archive", name, |path| cut(&path)).unwrap();
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
