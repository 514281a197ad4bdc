// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The host's own translators for injecting faults, error-gen and delay-gen, below us.

use std::time::{Duration, Instant};

use cloudsync_lab::marks::has;
use cloudsync_lab::{Backing, Layout};

use crate::scene::{Scene, assert_same, pattern};

const FILES: usize = 30;

fn name(number: usize) -> String {
    format!("file-{number}")
}

/// Too large for quick-read, which would answer out of the lookup. Half of them come in one write, which needs no mark.
fn bytes(number: usize) -> Vec<u8> {
    let least = if number.is_multiple_of(2) {
        100_000
    } else {
        1_200_000
    };
    pattern(number as u64, least + number)
}

/// Sets debugging options one at a time: the first makes the others known. Bricks take them up when they start.
fn set(scene: &mut Scene, settings: &[(&str, &str)]) {
    for (key, value) in settings {
        scene.volume.set(key, value).unwrap();
    }
    for brick in 0..scene.volume.bricks().len() {
        scene.volume.kill_brick(brick).unwrap();
    }
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    scene.remount();
}

/// Operations of a kind fail at random on the brick; recalls and handshakes fail there or pass, and nothing is lost.
fn at_random(stem: &str, fops: &str, errno: &str) {
    let mut scene = Scene::on(stem, Layout::Single, &[], Backing::Ram);
    for number in 0..FILES {
        scene.write(&name(number), &bytes(number));
        scene.archive(&name(number));
    }
    set(
        &mut scene,
        &[
            ("debug.error-gen", "posix"),
            ("debug.error-number", errno),
            ("debug.random-failure", "off"),
            ("debug.error-failure", "30"),
            ("debug.error-fops", fops),
        ],
    );
    let mut right = 0;
    for number in 0..FILES {
        let name = name(number);
        if let Ok(read) = scene.read(&name) {
            assert_same(&read, &bytes(number), &name);
            right += 1;
        }
        // And back, if it will.
        if number % 4 < 2 && scene.is_plain_now(&name) {
            let _ = scene.cut(&name);
        }
    }
    scene.assert_idle();
    // A reader need not hear of it: where there is no room, which is one of the errors, it is served from the store.
    let failed = scene.figure("recalls-failed");
    eprintln!(
        "| error-gen: {fops} fail with {errno}, at random | {right} of {FILES} reads got the bytes; {failed} recalls failed |"
    );
    assert!(failed > 0, "no error came: the test proves nothing");
    set(
        &mut scene,
        &[("debug.error-failure", "0"), ("debug.error-fops", "none")],
    );
    for number in 0..FILES {
        assert_same(
            &scene.read(&name(number)).unwrap(),
            &bytes(number),
            &name(number),
        );
    }
    scene.assert_idle();
    for number in 0..FILES {
        let name = name(number);
        // A key or a version may be left on a local file, where nobody looks at them; what says where its bytes are,
        // and how many, may not.
        for mark in ["remote", "downloading", "object_size"] {
            let left = has(&scene.brick(&name), mark);
            assert!(!left, "{name}: {}", scene.marks(&name));
        }
    }
}

#[test]
fn writes_and_cuts_that_fail_at_random_lose_nothing() {
    at_random("host-errors", "write,ftruncate,fsync", "EIO");
}

#[test]
fn marks_that_fail_at_random_lose_nothing() {
    at_random(
        "host-marks",
        "fsetxattr,fremovexattr,open,inodelk",
        "ENOMEM",
    );
}

/// Whatever is slow on the bricks makes a recall slow, and nothing else.
#[test]
fn slow_bricks_cost_time_only() {
    let mut scene = Scene::on("host-delay", Layout::Single, &[], Backing::Ram);
    for number in 0..6 {
        scene.write(&name(number), &bytes(number));
        scene.archive(&name(number));
    }
    set(
        &mut scene,
        &[
            ("debug.delay-gen", "posix"),
            ("delay-gen.delay-percentage", "100"),
            ("delay-gen.delay-duration", "200000"),
            ("delay-gen.enable", "write,fsync,fsetxattr"),
        ],
    );
    let paths: Vec<_> = (0..6).map(|number| scene.path(&name(number))).collect();
    let begun = Instant::now();
    let read = scene.read_at_once(paths);
    scene.assert_idle();
    let took = begun.elapsed();
    for (number, read) in read.into_iter().enumerate() {
        assert_same(&read.unwrap(), &bytes(number), &name(number));
    }
    eprintln!(
        "| delay-gen: everything that changes a file takes 0.2 s | six recalls at once took {took:.1?} |"
    );
    assert!(took > Duration::from_millis(600), "nothing was slow");
}
