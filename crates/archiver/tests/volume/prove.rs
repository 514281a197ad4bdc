// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests that no data is lost when runs are killed, run concurrently, or lose a brick.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::thread;

use cloudsync_lab::marks::is_stub;
use cloudsync_lab::{Layout, until};

use crate::scene::{PATIENCE, Scene, archive, lab, number, pattern};

/// Those of the first `count` files whose brick file has that mark.
fn files_with(scene: &Scene, count: u64, mark: &str) -> BTreeSet<u64> {
    let brick = &scene.volume.bricks()[0];
    let has = |n: &u64| {
        let value = xattr::get(brick.join(format!("f{n}")), mark);
        value.unwrap().is_some()
    };
    (0..count).filter(has).collect()
}

const REMOTE: &str = "trusted.glusterfs.cs.remote";
const NOTE: &str = "trusted.cloudsync.last";

#[test]
fn kills_corrupt_nothing_and_cause_no_second_upload() {
    const FILES: u64 = 120;
    let mut scene = Scene::new("killed");
    let size = |n: u64| {
        if n % 20 == 7 {
            20_000_000
        } else {
            3000 + n as usize
        }
    };
    let path = scene.mount().path();
    scene.within("write", move || {
        for n in 0..FILES {
            fs::write(path.join(format!("f{n}")), pattern(n, size(n))).unwrap();
        }
    });
    let brick = scene.brick(0);
    let mut random = fastrand::Rng::with_seed(20_261_122);
    for round in 0..9 {
        // Slow enough to have files left when it is killed: the kill waits for an observed state, not for a time.
        let args = [
            "archive",
            "--older-than=0s",
            "--min-residency=0s",
            "--jobs=4",
            "--files-per-second=10",
            "--order=found",
            &brick,
        ];
        let (noted, cold) = (
            files_with(&scene, FILES, NOTE),
            files_with(&scene, FILES, REMOTE),
        );
        let objects = scene.bucket.list("").unwrap().len();
        let more = random.usize(1..6);
        let mut run = scene.start(&args);
        until(PATIENCE, "the state in which to kill", || {
            let there = match round % 3 {
                // Before its object is complete.
                0 => !files_with(&scene, FILES, NOTE).is_subset(&noted),
                // When the store has this number of additional objects.
                1 => scene.bucket.list("").unwrap().len() >= objects + more,
                // When this number of additional files is cold.
                _ => files_with(&scene, FILES, REMOTE).len() >= cold.len() + more,
            };
            there.then_some(())
        })
        .unwrap();
        assert!(scene.signal("KILL"), "round {round} had ended");
        assert_eq!(run.wait().unwrap().signal(), Some(9), "round {round}");
        // Each file is local, or complete in the store, even right after the kill.
        let n = random.u64(0..FILES);
        assert!(
            scene.read(&format!("f{n}")) == pattern(n, size(n)),
            "f{n} in round {round}"
        );
    }
    // The bricks may need a moment to notice that the last client has ended: until then its files count as open. A
    // client killed right after a truncation leaves a cold file with a mark, which the next reader removes.
    until(PATIENCE, "a run after which nothing is left to do", || {
        scene.done(&archive(&brick));
        (files_with(&scene, FILES, REMOTE).len() as u64 == FILES).then_some(())
    })
    .unwrap();
    assert_eq!(scene.bucket.list("").unwrap().len() as u64, FILES);
    scene.remount();
    for n in 0..FILES {
        assert!(scene.read(&format!("f{n}")) == pattern(n, size(n)), "f{n}");
    }
    // The mounts of the killed runs have been removed, and their clients have ended.
    let left = lab()
        .sh("ls -d /run/cloudsync/killed-* 2>/dev/null || true")
        .unwrap();
    assert_eq!(left, "");
}

#[test]
fn concurrent_archivers_upload_each_file_once() {
    let mut scene = Scene::new("two");
    let path = scene.mount().path();
    scene.within("write", move || {
        for n in 0..150 {
            fs::write(path.join(format!("f{n}")), pattern(n, 2000)).unwrap();
        }
    });
    let (brick, mount) = (scene.brick(0), scene.inside(""));
    let at = |target: &str| {
        let args = ["archive", "--older-than=0s", "--no-lock", "--json", target];
        let output = scene.cloudsync(&args);
        assert_eq!(output.code(), Some(0), "{output}");
        number(&output.text(), "archived")
    };
    let (one, two) = thread::scope(|scope| {
        let other = scope.spawn(|| at(&mount));
        (at(&brick), other.join().unwrap())
    });
    println!("{one} and {two}");
    // The files that each run left to the other.
    scene.done(&archive(&brick));
    assert!((0..150).all(|n| scene.is_cold(&format!("f{n}"))));
    // One run may read a file that the other has just truncated, which recalls it, and archive it again; but nothing
    // is uploaded twice.
    assert_eq!(scene.bucket.list("").unwrap().len(), 150);
    scene.done(&["verify", &brick]);
    scene.remount();
    for n in 0..150 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, 2000), "f{n}");
    }
}

#[test]
fn replicated_volume_is_archived_with_a_brick_down() {
    let mut scene = Scene::on("replica", Layout::Replica(3), &[]);
    for n in 0..20 {
        scene.write(&format!("f{n}"), &pattern(n, 5000));
    }
    scene.volume.kill_brick(2).unwrap();
    let output = scene.done(&archive(&scene.brick(0)));
    assert_eq!(number(&output, "archived"), 20, "{output}");
    scene.remount();
    for n in 0..10 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, 5000), "f{n}");
    }
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    scene.remount();
    // The brick that was down is healed from the others.
    let path = scene.mount().path();
    scene.within("look", move || {
        for n in 0..20 {
            fs::metadata(path.join(format!("f{n}"))).unwrap();
        }
    });
    let bricks = scene.volume.bricks();
    until(PATIENCE, "the brick to be healed", || {
        let stub = |n: u64| is_stub(&bricks[2].join(format!("f{n}")));
        // Refused until the self-heal daemon has connected to its bricks.
        let _ = lab().gluster(["volume", "heal", scene.volume.name()]);
        (10..20).all(stub).then_some(())
    })
    .unwrap();
    for n in 0..20 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, 5000), "f{n}");
    }
}
