// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! GlusterFS's fault injection translators, error-gen and delay-gen, below ours.

use std::time::{Duration, Instant};

use cloudsync_lab::marks::has;
use cloudsync_lab::{Backing, Layout};

use crate::scene::{Scene, assert_same, pattern};

const FILES: usize = 30;

fn name(number: usize) -> String {
    format!("file-{number}")
}

/// Too large for quick-read, which would answer from the lookup. Half of the files are recalled in one write, without a
/// mark.
fn bytes(number: usize) -> Vec<u8> {
    let least = if number.is_multiple_of(2) {
        100_000
    } else {
        1_200_000
    };
    pattern(number as u64, least + number)
}

/// Sets debugging options one at a time, since the first one makes the others known, and restarts the bricks, which
/// read them at their start.
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

/// Some operations fail at random on the brick; recalls and handshakes may fail, but nothing is lost.
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
        // Archive it again, if possible.
        if number % 4 < 2 && scene.is_local_now(&name) {
            let _ = scene.handshake(&name);
        }
    }
    scene.assert_idle();
    // The reader need not notice: on ENOSPC, one of the errors, it is served from the store.
    let failed = scene.counter("recalls-failed");
    eprintln!(
        "| error-gen: {fops} fail with {errno} at random | {right} of {FILES} reads got the bytes; {failed} recalls failed |"
    );
    assert!(failed > 0, "no error occurred: the test proves nothing");
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
        // A key or a version may be left on a local file, where it has no effect; a mark that tells where the bytes are,
        // or how many, may not.
        for mark in ["remote", "downloading", "object_size"] {
            let left = has(&scene.brick(&name), mark);
            assert!(!left, "{name}: {}", scene.marks(&name));
        }
    }
}

#[test]
fn random_write_and_truncate_errors_lose_nothing() {
    at_random("host-errors", "write,ftruncate,fsync", "EIO");
}

#[test]
fn random_errors_of_mark_operations_lose_nothing() {
    at_random(
        "host-marks",
        "fsetxattr,fremovexattr,open,inodelk",
        "ENOMEM",
    );
}

/// Slow operations on the bricks make a recall slow, and nothing else.
#[test]
fn slow_bricks_only_slow_recalls_down() {
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
    let started = Instant::now();
    let read = scene.read_concurrently(paths);
    scene.assert_idle();
    let took = started.elapsed();
    for (number, read) in read.into_iter().enumerate() {
        assert_same(&read.unwrap(), &bytes(number), &name(number));
    }
    eprintln!(
        "| delay-gen: every change of a file takes 0.2 s | six concurrent recalls took {took:.1?} |"
    );
    assert!(took > Duration::from_millis(600), "no operation was slow");
}
