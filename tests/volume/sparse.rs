// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Recalls of sparse files: holes that the file's record knows are neither fetched nor written, on any layout; and a map that
//! is wrong costs only time.

use std::fs::OpenOptions;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::thread;

use cloudsync_format::checksum::Algorithm;
use cloudsync_format::claim::Claim;
use cloudsync_format::holes::{Holes, LONGEST};
use cloudsync_lab::{Backing, Layout};

use crate::gate::Gate;
use crate::meanwhile::{await_first_bytes, hold};
use crate::scene::{Scene, assert_same, claim, close, pattern};

const MIB: u64 = 1 << 20;
/// Less than a shard.
const SIZE: u64 = 48 * MIB + 5000;
/// What the bricks may need beyond the data, for each of them.
const SLACK: u64 = MIB;

/// A file's name, and its data.
type Sparse = (&'static str, &'static [Range<u64>]);

#[allow(
    clippy::single_range_in_vec_init,
    reason = "a file with one range of data"
)]
const FILES: [Sparse; 4] = [
    ("held/hole-at-the-beginning", &[40 * MIB + 100..SIZE]),
    ("held/hole-at-the-end", &[0..3 * MIB + 17]),
    (
        "held/holes",
        &[5 * MIB..6 * MIB, 20 * MIB..20 * MIB + 1, SIZE - 1..SIZE],
    ),
    ("held/nothing-else", &[]),
];

fn bytes(data: &[Range<u64>]) -> Vec<u8> {
    let index = |at: u64| usize::try_from(at).unwrap();
    let mut bytes = vec![0; index(SIZE)];
    for range in data {
        let length = index(range.end - range.start);
        // No byte of it is 0, so that a part that is missing is seen.
        let filled: Vec<u8> = pattern(range.start, length)
            .iter()
            .map(|byte| byte | 1)
            .collect();
        bytes[index(range.start)..index(range.end)].copy_from_slice(&filled);
    }
    bytes
}

/// What is between `data`.
fn holes(data: &[Range<u64>]) -> Vec<Range<u64>> {
    let starts = std::iter::once(0).chain(data.iter().map(|range| range.end));
    let ends = data.iter().map(|range| range.start).chain([SIZE]);
    let between = starts.zip(ends).map(|(start, end)| start..end);
    between.filter(|range| !range.is_empty()).collect()
}

/// Writes the file, and archives it as the archiver does, with this map of its holes.
fn archive(scene: &Scene, (name, data): Sparse, holes: &[Range<u64>]) {
    let bytes = bytes(data);
    scene.write(name, b"");
    let (path, whole, ranges) = (scene.path(name), bytes.clone(), data.to_vec());
    scene
        .within("write", move || {
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(SIZE)?;
            for range in ranges {
                let index = |at: u64| usize::try_from(at).unwrap();
                file.write_all_at(&whole[index(range.start)..index(range.end)], range.start)?;
            }
            close(file)
        })
        .unwrap();
    let checksum = Algorithm::Crc64Nvme.of(&bytes);
    let text = checksum.to_string();
    let headers = [("x-amz-meta-cloudsync-checksum", text.as_str())];
    scene.bucket.put_with(name, &bytes, &headers).unwrap();
    let seen = Claim {
        checksum: Some(checksum),
        holes: Holes::largest(holes, SIZE, LONGEST),
        key: Some(name.to_owned()),
        ..claim(&scene.stat(name))
    };
    scene.complete(name, &seen.to_string()).unwrap();
    assert!(scene.is_cold(name), "{name}");
}

fn recall(scene: &Scene, name: &str) {
    let path = scene.path(name);
    scene
        .within("recall", move || {
            xattr::set(path, "glusterfs.cloudsync.recall", b"1")
        })
        .unwrap();
    scene.await_local(name);
}

/// No brick has more blocks than the data needs.
#[track_caller]
fn assert_sparse(scene: &Scene, (name, data): Sparse) {
    let data: u64 = data.iter().map(|range| range.end - range.start).sum();
    for copy in scene.copies(name) {
        let there = copy.metadata().unwrap().blocks() * 512;
        assert!(there <= data + SLACK, "{}: {there} bytes", copy.display());
    }
}

/// The layouts that have other code between us and the bricks.
fn holes_come_back_as_holes(
    name: &str,
    layout: Layout,
    settings: &[(&str, &str)],
    files: &[Sparse],
) {
    let mut scene = Scene::on(name, layout, settings, Backing::Ram);
    let gate = Gate::new();
    for file in files.iter().copied() {
        archive(&scene, file, &holes(file.1));
    }
    scene
        .volume
        .set("features.s3plugin-hostname", gate.url())
        .unwrap();
    scene.remount();
    for file in files.iter().copied() {
        let before = gate.ranges().len();
        recall(&scene, file.0);
        for first in gate.ranges().split_off(before) {
            // A block of the map is 64 KiB.
            let near = |range: &Range<u64>| range.start <= first + (64 << 10) && first < range.end;
            assert!(file.1.iter().any(near), "{}: byte {first}", file.0);
        }
        assert_sparse(&scene, file);
        scene.assert_has(file.0, &bytes(file.1));
    }
    scene.remount();
    for file in files.iter().copied() {
        assert_sparse(&scene, file);
        scene.assert_has(file.0, &bytes(file.1));
    }
    scene.assert_idle();
}

#[test]
fn holes_are_neither_fetched_nor_written() {
    holes_come_back_as_holes("sparse", Layout::Single, &[], &FILES);
}

#[test]
fn holes_are_neither_fetched_nor_written_on_a_replicated_volume() {
    holes_come_back_as_holes("sparse-replica", Layout::Replica(3), &[], &FILES);
}

#[test]
fn holes_are_neither_fetched_nor_written_on_an_erasure_coded_volume() {
    let layout = Layout::Disperse {
        bricks: 3,
        redundancy: 1,
    };
    holes_come_back_as_holes("sparse-disperse", layout, &[], &FILES);
}

/// Sharding does not extend the first shard to the file's size, and such a file counts as one of several shards.
#[test]
fn holes_are_neither_fetched_nor_written_on_a_sharded_volume() {
    let settings = [("features.shard", "on")];
    let files = [FILES[0], FILES[2]];
    holes_come_back_as_holes("sparse-shard", Layout::Single, &settings, &files);
}

/// A map that calls data a hole, or all of it, does not lose a byte.
#[test]
fn a_wrong_map_of_holes_costs_no_bytes() {
    let mut scene = Scene::new("sparse-wrong");
    let all = 0..SIZE;
    let wrong: [&[Range<u64>]; 2] = [&[20 * MIB..21 * MIB, 30 * MIB..45 * MIB], &[all]];
    let files = [("held/some", FILES[2].1), ("held/all", FILES[0].1)];
    for (file, map) in files.into_iter().zip(wrong) {
        archive(&scene, file, map);
    }
    scene.remount();
    for file in files {
        recall(&scene, file.0);
        scene.assert_has(file.0, &bytes(file.1));
    }
    scene.await_log("they are fetched, too");
    scene.assert_idle();
}

/// Operations on a hole, while the data is on its way.
#[test]
fn a_sparse_file_can_be_read_written_and_truncated_during_its_recall() {
    let gate = Gate::new();
    let mut scene = Scene::new("sparse-busy");
    // More than passes at full speed.
    let data: &[Range<u64>] = &[0..5 * MIB, 30 * MIB..31 * MIB];
    let files = [
        ("held/read", data),
        ("held/written", data),
        ("held/cut", data),
    ];
    for file in files {
        archive(&scene, file, &holes(data));
    }
    hold(&mut scene, &gate);
    for file in files {
        let path = scene.path(file.0);
        let start = move || xattr::set(path, "glusterfs.cloudsync.recall", b"1");
        scene.within("recall", start).unwrap();
        await_first_bytes(&scene, &[file.0.to_owned()]);
    }
    let [read, written, cut] = files.map(|file| scene.path(file.0));
    let at = 20 * MIB + 7;
    let threads = [
        thread::spawn(move || {
            let mut buffer = [1; 4096];
            std::fs::File::open(read)?.read_exact_at(&mut buffer, at)?;
            assert_eq!(buffer, [0; 4096]);
            io::Result::Ok(())
        }),
        thread::spawn(move || {
            let file = OpenOptions::new().write(true).open(written)?;
            file.write_all_at(b"in the hole", at)?;
            close(file)
        }),
        thread::spawn(move || OpenOptions::new().write(true).open(cut)?.set_len(at)),
    ];
    gate.open();
    let ended = scene.within("the operations", move || {
        threads.map(|thread| thread.join().unwrap())
    });
    for ended in ended {
        ended.unwrap();
    }
    for file in files {
        scene.await_local(file.0);
    }
    let mut whole = bytes(data);
    scene.assert_has("held/read", &whole);
    let index = usize::try_from(at).unwrap();
    assert_same(&scene.read("held/cut").unwrap(), &whole[..index], "cut");
    whole[index..index + 11].copy_from_slice(b"in the hole");
    scene.assert_has("held/written", &whole);
    for file in files {
        assert_sparse(&scene, file);
    }
    scene.assert_idle();
}

/// What a truncation keeps is less than the checksum covers, so it is fetched with its holes.
#[test]
fn a_cold_sparse_file_can_be_truncated() {
    let mut scene = Scene::new("sparse-cut");
    let file = FILES[2];
    archive(&scene, file, &holes(file.1));
    scene.remount();
    let path = scene.path(file.0);
    let size = 20 * MIB + 7;
    let cut = move || OpenOptions::new().write(true).open(path)?.set_len(size);
    scene.within("truncate", cut).unwrap();
    scene.await_local(file.0);
    let whole = bytes(file.1);
    scene.assert_has(file.0, &whole[..usize::try_from(size).unwrap()]);
}
