// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Writes that some bricks carry out and others refuse. An append must not be carried out twice.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use cloudsync_lab::Backing;

use super::REPLICA;
use super::down::restart_and_heal;
use crate::scene::{Scene, assert_same, pattern};

/// One brick has the file, one missed its recall and refuses writes, and one is down: too few bricks for a success.
#[test]
fn a_write_that_too_few_bricks_carried_out_fails_and_is_not_appended_again() {
    let settings = [
        ("cluster.self-heal-daemon", "off"),
        ("cluster.data-self-heal", "off"),
        ("cluster.metadata-self-heal", "off"),
    ];
    let mut scene = Scene::on("append", REPLICA, &settings, Backing::Ram);
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

    let length = |copy: &PathBuf| fs::metadata(copy).unwrap().len();
    let lengths = |scene: &Scene| scene.copies("log").iter().map(length).collect::<Vec<_>>();
    assert_eq!(lengths(&scene), [5000, 5000, 0], "what each brick has");
    let (path, bytes) = (scene.path("log"), new.clone());
    let append = move || {
        let mut file = fs::File::options().append(true).open(path)?;
        file.write_all(&bytes)?;
        // With write-behind, an error is reported here.
        file.sync_all()
    };
    let failure = scene.within("an append", append).unwrap_err();
    assert_eq!(failure.raw_os_error(), Some(libc::EIO), "{failure}");
    assert_eq!(lengths(&scene), [8000, 5000, 0], "what each brick has");
    let (path, bytes) = (scene.path("log"), old[..10].to_vec());
    let write = move || {
        let file = fs::File::options().write(true).open(path)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_all()
    };
    let failure = scene.within("a write", write).unwrap_err();
    assert_eq!(failure.raw_os_error(), Some(libc::EIO), "{failure}");

    for (key, _) in settings {
        scene.volume.reset(key).unwrap();
    }
    restart_and_heal(&mut scene, &["log"]);
    let read = scene.read("log").unwrap();
    assert_same(&read, &[old, new].concat(), "log, healed");
}
