// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Bricks that die in the middle of a recall or of an archive, and come back.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use cloudsync_lab::{Backing, Layout};

use super::held::{assert_under_way, begin, bytes, read_again, scene};
use super::wire::await_connection;
use crate::scene::{PATIENCE, Scene, assert_same, pattern};

const REPLICA: Layout = Layout::Replica(3);
const DISPERSE: Layout = Layout::Disperse {
    bricks: 3,
    redundancy: 1,
};

fn start_again(scene: &Scene) {
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
}

/// The volume can do without it, so the recall can.
fn one_of_three(stem: &str, layout: Layout) {
    let (scene, gate) = scene(stem, layout, &["held/file"]);
    let reader = begin(&scene, &gate, "held/file");
    assert_under_way(&scene, "held/file");
    scene.volume.kill_brick(1).unwrap();
    // The client has noticed, and the recall goes on.
    thread::sleep(Duration::from_millis(500));
    assert_under_way(&scene, "held/file");
    gate.open();
    let came = reader.end(
        scene.mount(),
        &format!("{stem}: one of three bricks is killed"),
    );
    assert_eq!(came, None, "an error that the volume would not have given");
    scene.assert_idle();
    start_again(&scene);
    read_again(&scene, "held/file");
}

#[test]
fn a_replica_that_dies_in_mid_recall_costs_its_reader_nothing() {
    one_of_three("host-replica", REPLICA);
}

#[test]
fn a_fragment_that_dies_in_mid_recall_costs_its_reader_nothing() {
    one_of_three("host-disperse", DISPERSE);
}

/// The brick's machine loses power, and with it what it had acknowledged and not yet synced; its marks are there. It is back
/// before the store sends more.
#[test]
fn what_a_brick_lost_with_its_power_is_fetched_again() {
    let (scene, gate) = scene("host-power", Layout::Single, &["held/file"]);
    let reader = begin(&scene, &gate, "held/file");
    gate.silence();
    let copy = scene.brick("held/file");
    let written = || fs::metadata(&copy).unwrap().blocks();
    // What was on its way is answered.
    let mut before = 0;
    while written() != before {
        before = written();
        thread::sleep(Duration::from_millis(500));
    }
    scene.volume.kill_brick(0).unwrap();
    let lost = vec![0; fs::metadata(&copy).unwrap().len().try_into().unwrap()];
    fs::write(&copy, lost).unwrap();
    start_again(&scene);
    await_connection(scene.mount(), &scene, true);
    gate.open();
    // The bytes, or an errno.
    reader.end(scene.mount(), "the brick loses power");
    read_again(&scene, "held/file");
    scene.assert_idle();
    scene.await_plain("held/file");
    assert_same(&fs::read(&copy).unwrap(), &bytes(), "on the brick");
}

/// One after the other, as in an upgrade: at no time was more than one away, and yet none has the first lock any more.
#[test]
fn bricks_that_are_restarted_one_by_one_cost_a_recall_nothing() {
    let (scene, gate) = scene("host-rolling", REPLICA, &["held/file"]);
    let reader = begin(&scene, &gate, "held/file");
    for brick in 0..3 {
        scene.volume.kill_brick(brick).unwrap();
        thread::sleep(Duration::from_millis(300));
        start_again(&scene);
        let file = format!(
            "graphs/active/{}-client-{brick}/private",
            scene.volume.name()
        );
        let connected = || {
            let answer = scene.mount().meta(&file).unwrap_or_default();
            answer.contains("connected = 1").then_some(())
        };
        cloudsync_lab::until(PATIENCE, "the brick", connected).unwrap();
    }
    assert_under_way(&scene, "held/file");
    gate.open();
    let came = reader.end(
        scene.mount(),
        "replica: every brick is restarted, one by one",
    );
    assert_eq!(came, None, "an error that the volume would not have given");
    scene.assert_idle();
    read_again(&scene, "held/file");
}

fn all(stem: &str, layout: Layout, bricks: usize) {
    let (scene, gate) = scene(stem, layout, &["held/file"]);
    let reader = begin(&scene, &gate, "held/file");
    assert_under_way(&scene, "held/file");
    for brick in 0..bricks {
        scene.volume.kill_brick(brick).unwrap();
    }
    let came = reader.end(scene.mount(), &format!("{stem}: all bricks are killed"));
    assert_eq!(came, Some(libc::ENOTCONN));
    gate.open();
    start_again(&scene);
    read_again(&scene, "held/file");
    scene.await_plain("held/file");
    scene.assert_idle();
}

#[test]
fn the_only_brick_goes_in_mid_recall_and_comes_back() {
    all("host-single", Layout::Single, 1);
}

#[test]
fn all_bricks_go_in_mid_recall_and_come_back() {
    all("host-all", REPLICA, 3);
}

const FILES: usize = 24;

/// One file after the other is archived while a brick goes and comes: each is cold or local, and has its bytes.
fn while_archiving(stem: &str, layout: Layout) {
    let mut scene = Scene::on(stem, layout, &[("network.ping-timeout", "3")], Backing::Ram);
    let bytes = |number: usize| pattern(number as u64, 70_000 + number);
    let name = |number: usize| format!("file-{number}");
    for number in 0..FILES {
        scene.write(&name(number), &bytes(number));
        scene.bucket.put(&name(number), &bytes(number)).unwrap();
    }
    let seconds: Vec<_> = (0..FILES)
        .map(|number| {
            let data = scene.stat(&name(number));
            data.mtime().to_string()
        })
        .collect();
    let root = scene.path("");
    let archiver = thread::spawn(move || {
        let archive = |number: usize| {
            let path = root.join(format!("file-{number}"));
            let value = seconds[number].as_bytes();
            xattr::set(path, "trusted.glusterfs.csou.complete", value).is_ok()
        };
        (0..FILES).filter(|number| archive(*number)).count()
    });
    // In the middle of it.
    let begun = std::time::Instant::now();
    while !scene.is_cold(&name(3)) {
        assert!(begun.elapsed() < PATIENCE, "it does not begin");
        thread::sleep(Duration::from_millis(1));
    }
    scene.volume.kill_brick(0).unwrap();
    let cold = |scene: &Scene| {
        (0..FILES)
            .filter(|number| scene.is_cold(&name(*number)))
            .count()
    };
    let before = cold(&scene);
    assert!(
        before < FILES,
        "the brick went too late: the test proves nothing"
    );
    start_again(&scene);
    let archived = scene.within("archiving", move || archiver.join().unwrap());
    eprintln!(
        "| {stem}: a brick goes and comes while files are archived | {archived} of {FILES} archived, {before} of them before |"
    );
    scene.remount();
    for number in 0..FILES {
        let name = name(number);
        scene.assert_has(&name, &bytes(number));
        // And nothing keeps it from being changed.
        let path = scene.path(&name);
        scene
            .within("write", move || fs::write(path, b"new"))
            .unwrap();
    }
    scene.assert_idle();
}

#[test]
fn the_only_brick_goes_and_comes_while_files_are_archived() {
    while_archiving("host-archive", Layout::Single);
}

#[test]
fn a_replica_goes_and_comes_while_files_are_archived() {
    while_archiving("host-archive-replica", REPLICA);
}

#[test]
fn a_fragment_goes_and_comes_while_files_are_archived() {
    while_archiving("host-archive-disperse", DISPERSE);
}
