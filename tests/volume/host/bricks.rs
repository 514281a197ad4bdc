// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Bricks that die during a recall or an archive, and restart.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use cloudsync_lab::{Backing, Layout, MountOptions, until};

use super::held::{assert_recalling, bytes, read_again, scene, start_recall};
use crate::scene::{PATIENCE, Scene, assert_same, await_connection, pattern};

const REPLICA: Layout = Layout::Replica(3);
const DISPERSE: Layout = Layout::Disperse {
    bricks: 3,
    redundancy: 1,
};

fn restart_bricks(scene: &Scene) {
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
}

/// The volume survives the loss of one brick, and so does the recall.
fn one_brick_of_three(stem: &str, layout: Layout) {
    let (scene, gate) = scene(stem, layout, &["held/file"]);
    let reader = start_recall(&scene, &gate, "held/file");
    assert_recalling(&scene, "held/file");
    scene.volume.kill_brick(1).unwrap();
    // The client has noticed by now, and the recall continues.
    thread::sleep(Duration::from_millis(500));
    assert_recalling(&scene, "held/file");
    gate.open();
    let errno = reader.end(
        scene.mount(),
        &format!("{stem}: one of three bricks is killed"),
    );
    assert_eq!(errno, None, "the volume itself would not have failed");
    scene.assert_idle();
    restart_bricks(&scene);
    read_again(&scene, "held/file");
}

#[test]
fn a_recall_survives_the_loss_of_a_replica() {
    one_brick_of_three("host-replica", REPLICA);
}

#[test]
fn a_recall_survives_the_loss_of_a_fragment() {
    one_brick_of_three("host-disperse", DISPERSE);
}

/// A client that dies during a write leaves old fragments beside new ones. They read as bytes that nobody wrote, which must
/// not become the file. The test takes back what each brick got of another write.
#[test]
fn bytes_of_fragments_that_do_not_agree_are_never_returned() {
    let (mut scene, gate) = scene("host-torn", DISPERSE, &["held/file"]);
    let reader = start_recall(&scene, &gate, "held/file");
    assert_recalling(&scene, "held/file");
    // The first burst is on the bricks: half of it on each, since two fragments make the file.
    // The volume records it a second later; before that, the file counts as empty.
    let written = |copy: &PathBuf| {
        let size = xattr::get(copy, "trusted.ec.size").unwrap();
        fs::metadata(copy).unwrap().blocks() * 512 >= 1 << 20
            && size.is_some_and(|size| size.iter().any(|byte| *byte != 0))
    };
    until(PATIENCE, "the first burst", || {
        scene.copies("held/file").iter().all(written).then_some(())
    })
    .unwrap();
    scene.take_mount().kill9().unwrap();
    reader.abandon();
    for (number, copy) in (0_u64..).zip(scene.copies("held/file")) {
        let fragment = File::options().write(true).open(copy).unwrap();
        let taken_back = vec![0; 64 << 10];
        fragment
            .write_all_at(&taken_back, (number + 1) * (128 << 10))
            .unwrap();
    }
    gate.open();
    scene.put_mount(scene.volume.mount(&MountOptions::default()).unwrap());
    assert_same(&scene.read("held/file").unwrap(), &bytes(), "torn");
    scene.await_local("held/file");
    let read = scene.read("held/file").unwrap();
    assert_same(&read, &bytes(), "torn, when local");
}

/// The brick's machine loses power, and with it the writes that were acknowledged but not synced; the marks survive. The
/// brick is back before the store sends more.
#[test]
fn bytes_lost_in_a_power_failure_are_fetched_again() {
    let (scene, gate) = scene("host-power", Layout::Single, &["held/file"]);
    let reader = start_recall(&scene, &gate, "held/file");
    gate.silence();
    let copy = scene.brick("held/file");
    let written = || fs::metadata(&copy).unwrap().blocks();
    // Wait until pending writes are done.
    let mut before = 0;
    while written() != before {
        before = written();
        thread::sleep(Duration::from_millis(500));
    }
    scene.volume.kill_brick(0).unwrap();
    let lost = vec![0; fs::metadata(&copy).unwrap().len().try_into().unwrap()];
    fs::write(&copy, lost).unwrap();
    restart_bricks(&scene);
    await_connection(scene.mount(), &scene, true);
    gate.open();
    // Either the bytes or an errno.
    reader.end(scene.mount(), "the brick loses power");
    read_again(&scene, "held/file");
    scene.assert_idle();
    scene.await_local("held/file");
    assert_same(&fs::read(&copy).unwrap(), &bytes(), "on the brick");
}

/// As in a rolling upgrade: never more than one brick is down, but in the end none holds the original lock.
#[test]
fn a_recall_survives_a_rolling_restart_of_all_bricks() {
    let (scene, gate) = scene("host-rolling", REPLICA, &["held/file"]);
    let reader = start_recall(&scene, &gate, "held/file");
    for brick in 0..3 {
        scene.volume.kill_brick(brick).unwrap();
        thread::sleep(Duration::from_millis(300));
        restart_bricks(&scene);
        let file = format!(
            "graphs/active/{}-client-{brick}/private",
            scene.volume.name()
        );
        let connected = || {
            let answer = scene.mount().meta(&file).unwrap_or_default();
            answer.contains("connected = 1").then_some(())
        };
        until(PATIENCE, "the brick", connected).unwrap();
    }
    assert_recalling(&scene, "held/file");
    gate.open();
    let errno = reader.end(
        scene.mount(),
        "replica: every brick is restarted, one by one",
    );
    assert_eq!(errno, None, "the volume itself would not have failed");
    scene.assert_idle();
    read_again(&scene, "held/file");
}

fn all_bricks(stem: &str, layout: Layout, bricks: usize) {
    let (scene, gate) = scene(stem, layout, &["held/file"]);
    let reader = start_recall(&scene, &gate, "held/file");
    assert_recalling(&scene, "held/file");
    for brick in 0..bricks {
        scene.volume.kill_brick(brick).unwrap();
    }
    let errno = reader.end(scene.mount(), &format!("{stem}: all bricks are killed"));
    assert_eq!(errno, Some(libc::ENOTCONN));
    gate.open();
    restart_bricks(&scene);
    read_again(&scene, "held/file");
    scene.await_local("held/file");
    scene.assert_idle();
}

#[test]
fn the_only_brick_restarts_during_a_recall() {
    all_bricks("host-single", Layout::Single, 1);
}

#[test]
fn all_bricks_restart_during_a_recall() {
    all_bricks("host-all", REPLICA, 3);
}

const FILES: usize = 24;

/// Archives files one by one while a brick restarts: each file is cold or local afterwards, and has its bytes.
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
    // Kill the brick in the middle of it.
    let started = std::time::Instant::now();
    while !scene.is_cold(&name(3)) {
        assert!(started.elapsed() < PATIENCE, "archiving does not start");
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
        "the brick died too late: the test proves nothing"
    );
    restart_bricks(&scene);
    let archived = scene.within("archiving", move || archiver.join().unwrap());
    eprintln!(
        "| {stem}: a brick restarts while files are archived | {archived} of {FILES} archived, {before} of them before |"
    );
    scene.remount();
    for number in 0..FILES {
        let name = name(number);
        scene.assert_has(&name, &bytes(number));
        // And it can be changed.
        let path = scene.path(&name);
        scene
            .within("write", move || fs::write(path, b"new"))
            .unwrap();
    }
    scene.assert_idle();
}

#[test]
fn the_only_brick_restarts_while_files_are_archived() {
    while_archiving("host-archive", Layout::Single);
}

#[test]
fn a_replica_restarts_while_files_are_archived() {
    while_archiving("host-archive-replica", REPLICA);
}

#[test]
fn a_fragment_restarts_while_files_are_archived() {
    while_archiving("host-archive-disperse", DISPERSE);
}
