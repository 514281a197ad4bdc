// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Bytes in a cold file that a recall has begun on: some are the recall's, some are somebody's. What somebody has written is
//! the file, whatever the marks on it say, and nobody reads anything else meanwhile.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use cloudsync_lab::{Backing, Layout, Mount, MountOptions};
use rustix::process::{Pid, Signal, kill_process};

use crate::gate::Gate;
use crate::meanwhile::{LENGTH, await_first_bytes, held, old};
use crate::scene::{PATIENCE, Scene, assert_same, lab, pattern};

const NAME: &str = "held/file";
const FEATURE: &str = "features.cloudsync";

/// A cold file, and a client that died in the middle of its recall. Nothing is mounted.
fn died_in_a_recall(stem: &str) -> Scene {
    let gate = Gate::new();
    let (mut scene, names) = held(stem, &gate, &["file"]);
    let path = scene.path(NAME);
    let reader = thread::spawn(move || fs::read(path));
    await_first_bytes(&scene, &names);
    scene.take_mount().kill9().unwrap();
    gate.open();
    let _ = reader.join();
    scene.volume.set_store(&scene.bucket, &[]).unwrap();
    scene
}

/// Does it through a mount without the translator.
fn while_off(scene: &Scene, act: impl FnOnce(&Mount)) {
    scene.volume.set(FEATURE, "off").unwrap();
    let without = scene.volume.mount(&MountOptions::default()).unwrap();
    act(&without);
    without.unmount().unwrap();
    scene.volume.set(FEATURE, "on").unwrap();
}

fn assert_reads(scene: &mut Scene, want: &[u8]) {
    let mount = scene.volume.mount(&MountOptions::default()).unwrap();
    scene.put_mount(mount);
    assert_same(&scene.read(NAME).unwrap(), want, &scene.marks(NAME));
    scene.await_plain(NAME);
}

/// The host notes a file's times only while features.ctime is on.
#[test]
fn what_was_written_while_times_were_not_noted_is_the_file() {
    let mut scene = died_in_a_recall("untimed");
    let new = pattern(78, LENGTH - 5);
    scene.volume.set("features.ctime", "off").unwrap();
    while_off(&scene, |mount| {
        fs::write(mount.path().join(NAME), &new).unwrap();
    });
    scene.volume.set("features.ctime", "on").unwrap();
    assert_reads(&mut scene, &new);
}

#[test]
fn what_was_put_onto_the_brick_is_the_file() {
    let mut scene = died_in_a_recall("restored");
    let new = pattern(79, LENGTH - 5);
    fs::write(scene.brick(NAME), &new).unwrap();
    assert_reads(&mut scene, &new);
}

#[test]
fn what_was_written_reads_though_the_object_is_gone() {
    let mut scene = died_in_a_recall("gone");
    let new = pattern(80, 1_000_000);
    while_off(&scene, |mount| {
        fs::write(mount.path().join(NAME), &new).unwrap();
    });
    scene.bucket.delete(NAME).unwrap();
    assert_reads(&mut scene, &new);
}

/// The copy has the marks, and as many bytes as had come back.
#[test]
fn a_copy_of_a_file_that_is_half_back_is_the_whole_file() {
    let mut scene = died_in_a_recall("copied");
    while_off(&scene, |mount| {
        let file = mount.inside().join(NAME).display().to_string();
        let copy = format!("cp -a {file} {file}.new && mv {file}.new {file}");
        lab().sh(&copy).unwrap();
    });
    assert_reads(&mut scene, &old());
}

/// Replication refuses to show such a file by its id alone. A first lookup knows no more.
#[test]
fn a_file_with_bytes_is_found_while_a_brick_is_away() {
    let mut scene = Scene::on("away", Layout::Replica(3), &[], Backing::Ram);
    scene.write(NAME, &old());
    scene.archive(NAME);
    scene.take_mount().unmount().unwrap();
    let new = b"written while it was off";
    scene.volume.set(FEATURE, "off").unwrap();
    scene.volume.kill_brick(2).unwrap();
    let without = scene.volume.mount(&MountOptions::default()).unwrap();
    fs::write(without.path().join(NAME), new).unwrap();
    without.unmount().unwrap();
    scene.volume.set(FEATURE, "on").unwrap();
    let mount = scene.volume.mount(&MountOptions::default()).unwrap();
    scene.put_mount(mount);
    assert_same(&scene.read(NAME).unwrap(), new, &scene.marks(NAME));
}

/// One client finds out whose the bytes are, and is slow. Another one reads.
fn read_beside_a_comparison(stem: &str, settings: &[(&str, &str)]) {
    let gate = Gate::new();
    let mut scene = Scene::with(stem, settings, Backing::Ram);
    scene.write(NAME, &old());
    scene.archive(NAME);
    scene.take_mount().unmount().unwrap();
    let new = pattern(55, LENGTH);
    while_off(&scene, |mount| {
        fs::write(mount.path().join(NAME), &new).unwrap();
    });
    scene
        .volume
        .set("features.s3plugin-hostname", gate.url())
        .unwrap();
    let slow = scene.volume.mount(&MountOptions::default()).unwrap();
    let other = scene.volume.mount(&MountOptions::default()).unwrap();
    gate.silence();
    let path = slow.path().join(NAME);
    let first = thread::spawn(move || fs::read(path));
    gate.await_requests(1);
    let pid = Pid::from_raw(i32::try_from(slow.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    gate.open();
    let path = other.path().join(NAME);
    let (said, heard) = mpsc::channel();
    let second = thread::spawn(move || {
        let mut piece = vec![0; 100_000];
        let read = File::open(path).and_then(|file| file.read_exact_at(&mut piece, 0));
        said.send(read.map(|()| piece)).unwrap();
    });
    // An answer that comes now must be right, too.
    let early = heard.recv_timeout(Duration::from_secs(3)).ok();
    kill_process(pid, Signal::CONT).unwrap();
    let read = early.unwrap_or_else(|| heard.recv_timeout(PATIENCE).unwrap());
    second.join().unwrap();
    assert_same(&read.unwrap(), &new[..100_000], "beside the comparison");
    let first = slow.within(PATIENCE, "the slow client", move || first.join().unwrap());
    assert_same(&first.unwrap(), &new, "the slow client");
}

#[test]
fn nobody_reads_the_old_bytes_while_another_client_compares() {
    read_beside_a_comparison("compares", &[]);
}

#[test]
fn nor_with_reads_from_the_store() {
    read_beside_a_comparison(
        "compares-remote",
        &[("features.cloudsync-remote-read", "on")],
    );
}
