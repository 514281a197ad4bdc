// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Objects that must be restored before they can be read, which costs money and takes hours.

use std::fs;
use std::thread;

use cloudsync_lab::glacier::Glacier;
use cloudsync_lab::until;

use crate::scene::{PATIENCE, Scene, assert_same, errno, lab, pattern};

const LENGTH: usize = 100_000;
const FILES: usize = 6;

/// Cold files in `cold/`, and one elsewhere that needs no restore.
fn scene(name: &str, settings: &[(&str, &str)]) -> (Scene, Glacier) {
    let mut scene = Scene::new(name);
    for number in 0..FILES {
        let name = file(number);
        scene.write(&name, &pattern(number as u64, LENGTH));
        scene.archive(&name);
    }
    scene.write("standard", &pattern(99, LENGTH));
    scene.archive("standard");
    let (glacier, url) = Glacier::start(lab()).unwrap();
    scene
        .volume
        .set("features.s3plugin-hostname", &url)
        .unwrap();
    for (key, value) in settings {
        scene.volume.set(key, value).unwrap();
    }
    scene.remount();
    (scene, glacier)
}

fn file(number: usize) -> String {
    format!("cold/{number}")
}

#[test]
fn reads_of_many_files_ask_for_as_many_restores_as_the_guard_allows() {
    let (scene, restores) = scene(
        "restore-guard",
        &[
            ("features.cloudsync-store-id", "restore=bulk"),
            (
                "features.cloudsync-product-id",
                "guard-files=2,guard-window=1h",
            ),
        ],
    );
    for number in 0..FILES {
        assert_eq!(errno(scene.read(&file(number))), libc::EBUSY, "{number}");
    }
    let asked = restores.asked();
    assert!((1..=2).contains(&asked), "{asked} restores");
    let log = scene.mount().log();
    assert!(
        log.contains("guard-files and guard-bytes allow no more restores"),
        "{log}"
    );
    assert_same(
        &scene.read("standard").unwrap(),
        &pattern(99, LENGTH),
        "standard",
    );
}

#[test]
fn files_that_wait_for_a_restore_take_no_place_of_others() {
    let (scene, restores) = scene(
        "restore-wait",
        &[
            (
                "features.cloudsync-store-id",
                "restore=bulk,restore-wait=1h",
            ),
            ("features.cloudsync-product-id", "recalls=2,connections=2"),
        ],
    );
    let readers: Vec<_> = (0..FILES)
        .map(|number| {
            let path = scene.path(&file(number));
            thread::spawn(move || fs::read(path))
        })
        .collect();
    until(PATIENCE, "a restore of each file", || {
        (restores.asked() == FILES).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", scene.mount().report()));
    assert_same(
        &scene.read("standard").unwrap(),
        &pattern(99, LENGTH),
        "meanwhile",
    );
    restores.end();
    let read = scene.within("the readers", move || {
        let ended = readers.into_iter().map(|reader| reader.join().unwrap());
        ended.collect::<Vec<_>>()
    });
    for (number, bytes) in read.into_iter().enumerate() {
        assert_same(&bytes.unwrap(), &pattern(number as u64, LENGTH), "restored");
    }
    scene.assert_idle();
}
