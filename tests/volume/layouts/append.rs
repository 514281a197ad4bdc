// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Writes that some bricks carry out and others refuse. An append must not be carried out twice.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cloudsync_lab::{Backing, MountOptions};

use super::REPLICA;
use super::down::restart_and_heal;
use crate::scene::{PATIENCE, Scene, assert_same, await_connection, pattern};

/// Nothing that changes what the bricks have. Write-behind, too, sends a failed write again, with the feature off as well.
const SETTINGS: [(&str, &str); 4] = [
    ("performance.write-behind", "off"),
    ("cluster.self-heal-daemon", "off"),
    ("cluster.data-self-heal", "off"),
    ("cluster.metadata-self-heal", "off"),
];

fn lengths(scene: &Scene) -> Vec<u64> {
    let length = |copy: &PathBuf| fs::metadata(copy).unwrap().len();
    scene.copies("log").iter().map(length).collect()
}

fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::options().append(true).open(path)?;
    file.write_all(bytes)
}

/// Heals all bricks, which then have `bytes`.
fn heal(scene: &mut Scene, bytes: &[u8]) {
    for (key, _) in SETTINGS {
        scene.volume.reset(key).unwrap();
    }
    restart_and_heal(scene, &["log"]);
    assert_same(&scene.read("log").unwrap(), bytes, "log, healed");
}

/// One brick has the file, one missed its recall and refuses writes, and one is down: too few bricks for a success.
#[test]
fn a_write_that_too_few_bricks_carried_out_fails_and_is_not_appended_again() {
    let mut scene = Scene::on("append", REPLICA, &SETTINGS, Backing::Ram);
    let (old, new) = (pattern(1, 5000), pattern(2, 3000));
    scene.write("log", &old);
    scene.archive("log");
    scene.volume.kill_brick(2).unwrap();
    scene.remount();
    assert_same(&scene.read("log").unwrap(), &old, "log");
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    scene.volume.kill_brick(1).unwrap();
    scene.remount();

    assert_eq!(lengths(&scene), [5000, 5000, 0], "what each brick has");
    let (path, bytes) = (scene.path("log"), new.clone());
    let appended = scene.within("an append", move || append(&path, &bytes));
    let failure = appended.unwrap_err();
    assert_eq!(failure.raw_os_error(), Some(libc::EIO), "{failure}");
    assert_eq!(lengths(&scene), [8000, 5000, 0], "what each brick has");
    let (path, bytes) = (scene.path("log"), old[..10].to_vec());
    let write = move || {
        let file = fs::File::options().write(true).open(path)?;
        file.write_all_at(&bytes, 0)
    };
    let failure = scene.within("a write", write).unwrap_err();
    assert_eq!(failure.raw_os_error(), Some(libc::EIO), "{failure}");

    heal(&mut scene, &[old, new].concat());
}

/// One brick missed the archiving and still has the bytes, to which it appends; the others refuse, because the file is
/// cold. It is recalled, and the append is carried out by all.
#[test]
fn an_append_that_only_a_brick_carried_out_that_missed_the_archiving_is_repeated() {
    let mut scene = Scene::on("append-missed", REPLICA, &SETTINGS, Backing::Ram);
    let (old, new) = (pattern(1, 5000), pattern(2, 3000));
    scene.write("log", &old);
    // Too large for quick-read, which would answer without the bricks.
    let large = pattern(3, 300_000);
    scene.write("local", &large);
    // Its kernel does not look at the file again, so this client does not learn that another archives it.
    let options = MountOptions::default().arg("--entry-timeout=600");
    let options = options.arg("--attribute-timeout=600");
    let other = scene.volume.mount(&options).unwrap();
    let path = other.path().join("log");
    let look = path.clone();
    let seen = other.within(PATIENCE, "a look", move || fs::metadata(look));
    assert_eq!(seen.unwrap().len(), 5000);
    scene.volume.kill_brick(0).unwrap();
    scene.bucket.put("log", &old).unwrap();
    scene.handshake("log").unwrap();
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    for mount in [&other, scene.mount()] {
        await_connection(mount, &scene, true);
    }
    assert_eq!(lengths(&scene), [5000, 0, 0], "what each brick has");
    // Now the client knows that the bricks check a file's state, and leaves it to them.
    let local = other.path().join("local");
    let read = other.within(PATIENCE, "a read", move || fs::read(local));
    assert_same(&read.unwrap(), &large, "local");
    let bytes = new.clone();
    let appended = other.within(PATIENCE, "an append", move || append(&path, &bytes));
    appended.unwrap();
    assert_eq!(lengths(&scene)[1..], [8000, 8000], "what each brick has");
    heal(&mut scene, &[old, new].concat());
}
