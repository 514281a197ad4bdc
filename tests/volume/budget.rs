// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The budget of bytes that a client may fetch from the store: what it refuses, what it does not touch, and its return.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use cloudsync_lab::until;

use crate::scene::{PATIENCE, Scene, assert_same, close, errno, pattern};

const LENGTH: usize = 100_000;

/// Cold files `0` to `9`, and a local one, with these settings.
fn scene(name: &str, settings: &str) -> Scene {
    let mut scene = Scene::new(name);
    for number in 0..10 {
        scene.write(&number.to_string(), &bytes(number));
        scene.archive(&number.to_string());
    }
    scene.write("local", &bytes(99));
    set(&scene, settings);
    scene.remount();
    scene
}

fn bytes(number: u64) -> Vec<u8> {
    pattern(number, LENGTH)
}

fn set(scene: &Scene, settings: &str) {
    scene
        .volume
        .set("features.cloudsync-product-id", settings)
        .unwrap();
}

fn write_in_the_middle(scene: &Scene, name: &str) -> std::io::Result<()> {
    let path = scene.path(name);
    scene.within("write", move || {
        let file = OpenOptions::new().write(true).open(path)?;
        file.write_all_at(b"in the middle", 5000)?;
        file.sync_all()?;
        close(file)
    })
}

#[test]
fn reads_beyond_the_budget_fail_and_nothing_else_does() {
    let scene = scene("budget", "budget-bytes=250000");
    for number in [0, 1] {
        let name = number.to_string();
        assert_same(&scene.read(&name).unwrap(), &bytes(number), &name);
        scene.await_local(&name);
    }
    assert_eq!(scene.counter("budget-bytes"), 250_000);
    assert_eq!(scene.counter("budget-spent"), 2 * LENGTH as u64);
    for name in ["2", "3", "2"] {
        assert_eq!(errno(scene.read(name)), libc::EDQUOT, "{name}");
    }
    assert_eq!(errno(write_in_the_middle(&scene, "4")), libc::EDQUOT);
    assert!(scene.is_cold("2") && scene.is_cold("4"));
    assert!(scene.counter("budget-refusals") >= 4);

    // What needs no bytes of the store.
    scene.assert_has("0", &bytes(0));
    write_in_the_middle(&scene, "1").unwrap();
    scene.assert_has("local", &bytes(99));
    write_in_the_middle(&scene, "local").unwrap();
    assert_eq!(scene.stat("5").len(), LENGTH as u64);
    let path = scene.path("5");
    let empty = move || close(File::create(path)?);
    scene.within("truncate to nothing", empty).unwrap();
    scene.assert_has("5", b"");
    let path = scene.path("6");
    let shorten = move || OpenOptions::new().write(true).open(path)?.set_len(40_000);
    scene.within("keep what is left of it", shorten).unwrap();
    scene.assert_has("6", &bytes(6)[..40_000]);
    let log = scene.mount().log();
    assert_eq!(log.matches("MSGID: 190051").count(), 1, "{log}");
    scene.assert_idle();

    set(&scene, "budget-bytes=10M");
    until(PATIENCE, "the new budget", || {
        (scene.counter("budget-bytes") > 250_000).then_some(())
    })
    .unwrap();
    write_in_the_middle(&scene, "4").unwrap();
    for number in [2, 3] {
        scene.assert_has(&number.to_string(), &bytes(number));
    }
}

#[test]
fn files_are_recalled_again_when_the_window_has_passed() {
    let scene = scene("budget-window", "budget-bytes=150000,budget-window=3s");
    scene.assert_has("0", &bytes(0));
    // On a slow machine, the window may have passed by now.
    let refused = (1..9).find(|number| scene.read(&number.to_string()).is_err());
    let refused = refused.expect("a read beyond the budget");
    let name = refused.to_string();
    until(PATIENCE, "the end of the window", || {
        scene.read(&name).is_ok().then_some(())
    })
    .unwrap();
    scene.assert_has(&name, &bytes(refused));
    scene.await_log("leaves no");
    scene.await_log("has bytes left again");
}

#[test]
fn reads_beyond_the_budget_can_be_served_from_the_store() {
    let scene = scene("budget-serve", "budget-bytes=150000,over-budget=serve");
    for number in 0..10 {
        let name = number.to_string();
        assert_same(&scene.read(&name).unwrap(), &bytes(number), &name);
    }
    scene.await_local("0");
    for number in 1..10 {
        assert!(scene.is_cold(&number.to_string()), "{number}");
    }
    assert_eq!(scene.counter("budget-spent"), 10 * LENGTH as u64);
    assert_eq!(errno(write_in_the_middle(&scene, "1")), libc::EDQUOT);
    scene.assert_idle();
}

/// A file that is larger than what is left is not recalled; its reads use up the rest.
#[test]
fn remote_reads_count_what_they_fetch() {
    const LARGE: usize = 8 << 20;
    let large = pattern(7, LARGE);
    let mut scene = Scene::new("budget-remote");
    scene.write("large", &large);
    scene.archive("large");
    set(&scene, "budget-bytes=4M");
    scene.remount();
    let read = |at: usize| {
        let path = scene.path("large");
        scene.within("read", move || {
            let mut buffer = vec![0; 4096];
            File::open(path)?.read_exact_at(&mut buffer, at as u64)?;
            std::io::Result::Ok(buffer)
        })
    };
    let at = 5 << 20;
    assert_same(&read(at).unwrap(), &large[at..at + 4096], "a part");
    let spent = scene.counter("budget-spent");
    assert!((4096..2 << 20).contains(&spent), "{spent}");
    assert_eq!(errno(scene.read("large")), libc::EDQUOT);
    assert!(scene.counter("budget-spent") <= 4 << 20);
    assert!(scene.is_cold("large"));
    scene.assert_idle();
}

/// What a recall needs is set aside when it begins, and its readers share it.
#[test]
fn a_recall_that_has_begun_is_finished() {
    const LARGE: usize = 20 << 20;
    let large = pattern(7, LARGE);
    let mut scene = Scene::new("budget-whole");
    for name in ["one", "two"] {
        scene.write(name, &large);
        scene.archive(name);
    }
    set(&scene, "budget-bytes=28M");
    scene.remount();
    assert_same(&scene.read("one").unwrap(), &large, "one");
    scene.await_local("one");
    assert_eq!(errno(scene.read("two")), libc::EDQUOT);
    assert!(scene.is_cold("two"));
    assert!(scene.counter("budget-spent") <= 28 << 20);
    scene.assert_idle();
    assert_eq!(scene.counter("budget-reserved"), 0);
}
