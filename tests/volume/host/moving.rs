// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Cold files are moved to other bricks, by rebalance and by remove-brick.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use cloudsync_lab::marks::has;
use cloudsync_lab::{ADDRESS, Backing, Layout, until};

use crate::scene::{PATIENCE, Scene, lab, pattern};

const FILES: usize = 24;

fn name(number: usize) -> String {
    format!("dir/file-{number}")
}

fn bytes(number: usize) -> Vec<u8> {
    pattern(number as u64, 50_000 + number)
}

/// Waits until a task of glusterd has completed. `words` query its state.
fn await_task(words: &[&str]) -> String {
    let mut last = String::new();
    until(PATIENCE, "the task", || {
        last = lab().gluster(words).unwrap_or_default();
        (last.contains("completed") && !last.contains("in progress")).then_some(())
    })
    .unwrap_or_else(|failure| panic!("{failure}\n{last}"));
    last
}

/// Counts the files on a brick, without DHT's link files.
fn on_brick(brick: &Path) -> usize {
    let names = fs::read_dir(brick.join("dir"))
        .into_iter()
        .flatten()
        .flatten();
    let real = |path: &PathBuf| {
        let link = xattr::get(path, "trusted.glusterfs.dht.linkto");
        matches!(link, Ok(None))
    };
    names.map(|entry| entry.path()).filter(real).count()
}

#[test]
fn rebalance_and_remove_brick_move_cold_files() {
    let mut scene = Scene::on("host-moving", Layout::Distribute(2), &[], Backing::Ram);
    for number in 0..FILES {
        scene.write(&name(number), &bytes(number));
        // Every third file stays local, for comparison.
        if number % 3 > 0 {
            scene.archive(&name(number));
        }
    }
    let volume = scene.volume.name().to_owned();
    let first = scene.volume.bricks()[0].clone();
    let home = first.parent().unwrap().parent().unwrap().to_owned();
    let added = home.join("added/brick");
    fs::create_dir_all(&added).unwrap();
    let brick = |path: &PathBuf| format!("{ADDRESS}:{}", lab().inner(path).display());
    let new = brick(&added);
    lab()
        .gluster(["volume", "add-brick", &volume, &new, "force"])
        .unwrap();
    // "force" also moves files to a brick with less free space.
    lab()
        .gluster(["volume", "rebalance", &volume, "start", "force"])
        .unwrap();
    await_task(&["volume", "rebalance", &volume, "status"]);
    let moved = on_brick(&added);
    assert!(moved > 0, "nothing was moved: the test proves nothing");
    let cold_there = fs::read_dir(added.join("dir"))
        .unwrap()
        .filter(|entry| has(&entry.as_ref().unwrap().path(), "remote"))
        .count();
    scene.remount();
    for number in 0..FILES / 2 {
        let name = name(number);
        scene.assert_has(&name, &bytes(number));
    }
    // Now remove the first brick and move its files away.
    let before = on_brick(&first);
    assert!(before > 0, "nothing is on the first brick");
    let old = brick(&first);
    lab()
        .gluster(["volume", "remove-brick", &volume, &old, "start"])
        .unwrap();
    await_task(&["volume", "remove-brick", &volume, &old, "status"]);
    let left = on_brick(&first);
    lab()
        .gluster(["volume", "remove-brick", &volume, &old, "commit"])
        .unwrap();
    eprintln!(
        "| {FILES} files, two of three cold: rebalance, remove-brick | {moved} moved to the new brick, {cold_there} of them cold there; {before} on the old one, {left} left behind |"
    );
    thread::sleep(Duration::from_millis(500));
    scene.remount();
    for number in 0..FILES {
        let name = name(number);
        scene.assert_has(&name, &bytes(number));
    }
    scene.assert_idle();
}
