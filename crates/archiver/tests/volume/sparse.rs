// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests that the holes of sparse files are not read, and come back as holes.

use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

use cloudsync_lab::Layout;

use crate::scene::{Scene, number, pattern};

const MIB: u64 = 1 << 20;

/// The files' size: 40 MiB, or `CLOUDSYNC_SPARSE_MIB`.
fn size() -> u64 {
    let wanted = std::env::var("CLOUDSYNC_SPARSE_MIB").ok();
    wanted.map_or(40, |text| text.parse().unwrap()) * MIB + 777
}

/// Files with ten parts of 1 MiB each, with a hole at the beginning and the end, and of nothing but a hole.
fn files(size: u64) -> [(&'static str, Vec<Range<u64>>); 3] {
    let step = (size - 10 * MIB) / 11;
    let part = |number: u64| {
        let start = number * (step + MIB);
        start..start + MIB
    };
    let last = size - 3 * MIB..size;
    [
        ("ends", (1..=10).map(part).collect()),
        ("begins", (0..10).map(part).chain([last]).collect()),
        ("nothing", Vec::new()),
    ]
}

fn filling(range: &Range<u64>) -> Vec<u8> {
    let length = usize::try_from(range.end - range.start).unwrap();
    pattern(range.start, length)
}

fn write(scene: &Scene, name: &str, size: u64, data: &[Range<u64>]) {
    let (path, data) = (scene.path(name), data.to_vec());
    scene.within("write", move || {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.unwrap();
        file.set_len(size).unwrap();
        for range in data {
            file.write_all_at(&filling(&range), range.start).unwrap();
        }
    });
}

fn assert_has(scene: &Scene, name: &str, size: u64, data: &[Range<u64>]) {
    let (path, data) = (scene.path(name), data.to_vec());
    scene.within("read", move || {
        let file = fs::File::open(path).unwrap();
        assert_eq!(file.metadata().unwrap().len(), size);
        let mut data = data.into_iter().peekable();
        let mut at = 0;
        while at < size {
            let next = match data.next_if(|range| range.start == at) {
                Some(range) => filling(&range),
                None => {
                    let end = data.peek().map_or(size, |range| range.start).min(at + MIB);
                    vec![0; usize::try_from(end - at).unwrap()]
                }
            };
            let mut got = vec![1; next.len()];
            file.read_exact_at(&mut got, at).unwrap();
            assert!(got == next, "byte {at} and after it");
            at += next.len() as u64;
        }
    });
}

/// The bytes that the file occupies on the bricks.
fn on_bricks(scene: &Scene, name: &str) -> u64 {
    let copies = scene.volume.copies(name).into_iter();
    copies
        .map(|copy| copy.metadata().unwrap().blocks() * 512)
        .sum()
}

/// The bytes that the bricks have been read since the last call.
fn read_from_bricks(scene: &Scene) -> u64 {
    let name = scene.volume.name();
    let script = format!("gluster --mode=script volume profile {name} info incremental");
    let outcome = crate::scene::lab().run("bash", ["-c", &script]).unwrap();
    let text = outcome.text();
    let bytes = text.lines().filter_map(|line| {
        line.trim()
            .strip_prefix("Data Read:")?
            .trim()
            .strip_suffix(" bytes")
    });
    bytes.map(|bytes| bytes.parse::<u64>().unwrap()).sum()
}

fn round_trip(name: &str, layout: Layout, copies: u64, asks: bool) {
    let mut scene = Scene::on(name, layout, &[]);
    let size = size();
    let volume = scene.volume.name();
    let script = format!("gluster --mode=script volume profile {volume} start");
    let started = crate::scene::lab().run("bash", ["-c", &script]).unwrap();
    assert!(started.success(), "{started}");
    let files = files(size);
    for (name, data) in &files {
        write(&scene, name, size, data);
    }
    // Closes the files, also on the bricks.
    scene.remount();
    let before: Vec<_> = files.iter().map(|file| on_bricks(&scene, file.0)).collect();
    read_from_bricks(&scene);
    let output = scene.done(&["archive", "--older-than=0s", "--json", &scene.brick(0)]);
    assert_eq!(number(&output, "archived"), files.len() as u64, "{output}");
    let read = read_from_bricks(&scene);
    let data: u64 = files
        .iter()
        .flat_map(|file| &file.1)
        .map(|range| range.end - range.start)
        .sum();
    // Once for the checksum, and once for the upload.
    assert!(
        !asks || read <= 2 * data + 8 * MIB,
        "{read} of {data} bytes read"
    );
    scene.done(&["verify", "--deep", &scene.brick(0)]);
    scene.remount();
    scene.done(&["recall", "--recursive", "--wait", &scene.inside("")]);
    for ((name, data), before) in files.iter().zip(before) {
        let after = on_bricks(&scene, name);
        let bytes: u64 = data.iter().map(|range| range.end - range.start).sum();
        println!(
            "{name}: {size} bytes, {bytes} of data; on the bricks {before} bytes before, {after} after the recall"
        );
        assert!(after <= copies * (bytes + 2 * MIB), "{name}: {after}");
        assert_has(&scene, name, size, data);
    }
    println!("archive read {read} bytes from the bricks");
    // The objects have the checksums of the files with their zeros.
    scene.remount();
    let output = scene.done(&["archive", "--older-than=0s", "--json", &scene.brick(0)]);
    assert_eq!(number(&output, "uploaded"), 0, "{output}");
}

#[test]
fn holes_are_not_read_and_come_back_as_holes() {
    round_trip("holes", Layout::Single, 1, true);
}

#[test]
fn holes_come_back_as_holes_on_a_replicated_volume() {
    round_trip("holes-replica", Layout::Replica(3), 3, true);
}

#[test]
fn holes_come_back_as_holes_on_an_erasure_coded_volume() {
    let layout = Layout::Disperse {
        bricks: 3,
        redundancy: 1,
    };
    round_trip("holes-disperse", layout, 2, false);
}
