// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A cold file whose recall was interrupted and which was then written to: some bytes are the recall's, others are not.
//! Bytes written by an application are kept, whatever the file's marks are, and no read returns anything else.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use cloudsync_lab::{Backing, Layout, Mount, MountOptions};

use crate::gate::Gate;
use crate::meanwhile::{LENGTH, await_first_bytes, held, old};
use crate::scene::{PATIENCE, Scene, assert_same, lab, pattern};

const NAME: &str = "held/file";
const FEATURE: &str = "features.cloudsync";

/// A cold file, and a client that died during its recall. Nothing is mounted.
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

/// Does something through a mount without the translator.
fn while_off(scene: &Scene, change: impl FnOnce(&Mount)) {
    scene.volume.set(FEATURE, "off").unwrap();
    let without = scene.volume.mount(&MountOptions::default()).unwrap();
    change(&without);
    without.unmount().unwrap();
    scene.volume.set(FEATURE, "on").unwrap();
}

fn assert_reads(scene: &mut Scene, want: &[u8]) {
    let mount = scene.volume.mount(&MountOptions::default()).unwrap();
    scene.put_mount(mount);
    assert_same(&scene.read(NAME).unwrap(), want, &scene.marks(NAME));
    scene.await_local(NAME);
}

/// GlusterFS records a file's times only while features.ctime is on.
#[test]
fn bytes_written_while_ctime_was_off_are_kept() {
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
fn bytes_written_directly_to_the_brick_are_kept() {
    let mut scene = died_in_a_recall("restored");
    let new = pattern(79, LENGTH - 5);
    fs::write(scene.brick(NAME), &new).unwrap();
    assert_reads(&mut scene, &new);
}

#[test]
fn written_bytes_are_kept_when_the_object_is_missing() {
    let mut scene = died_in_a_recall("gone");
    let new = pattern(80, 1_000_000);
    while_off(&scene, |mount| {
        fs::write(mount.path().join(NAME), &new).unwrap();
    });
    scene.bucket.delete(NAME).unwrap();
    assert_reads(&mut scene, &new);
}

/// The copy has the marks, and as many bytes as had been recalled.
#[test]
fn a_copy_of_a_partly_recalled_file_reads_completely() {
    let mut scene = died_in_a_recall("copied");
    while_off(&scene, |mount| {
        let file = mount.inside().join(NAME).display().to_string();
        let copy = format!("cp -a {file} {file}.new && mv {file}.new {file}");
        lab().sh(&copy).unwrap();
    });
    assert_reads(&mut scene, &old());
}

/// Replication does not return such a file for a lookup by gfid alone, and a first lookup may know no more.
#[test]
fn a_written_cold_file_is_found_while_a_brick_is_down() {
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

/// One client compares the bytes with the object, and is slow. Another one reads.
fn read_during_a_comparison(stem: &str, settings: &[(&str, &str)]) {
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
    slow.freeze().unwrap();
    gate.open();
    let path = other.path().join(NAME);
    let (sender, receiver) = mpsc::channel();
    let second = thread::spawn(move || {
        let mut piece = vec![0; 100_000];
        let read = File::open(path).and_then(|file| file.read_exact_at(&mut piece, 0));
        sender.send(read.map(|()| piece)).unwrap();
    });
    // A reply before the comparison ends must be right, too.
    let early = receiver.recv_timeout(Duration::from_secs(3)).ok();
    slow.thaw().unwrap();
    let read = early.unwrap_or_else(|| receiver.recv_timeout(PATIENCE).unwrap());
    second.join().unwrap();
    assert_same(&read.unwrap(), &new[..100_000], "during the comparison");
    let first = slow.within(PATIENCE, "the slow client", move || first.join().unwrap());
    assert_same(&first.unwrap(), &new, "the slow client");
}

#[test]
fn no_client_reads_old_bytes_during_a_comparison() {
    read_during_a_comparison("compares", &[]);
}

#[test]
fn no_client_reads_old_bytes_with_remote_read() {
    read_during_a_comparison(
        "compares-remote",
        &[("features.cloudsync-remote-read", "on")],
    );
}
