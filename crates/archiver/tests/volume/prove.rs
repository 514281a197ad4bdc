// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Nothing is lost, whatever happens meanwhile.

use std::fs;
use std::thread;
use std::time::Duration;

use cloudsync_lab::{Layout, until};

use crate::scene::{PATIENCE, Scene, is_stub, lab, number, pattern};

fn archive(target: &str) -> [&str; 4] {
    ["archive", "--older-than=0s", "--json", target]
}

#[test]
fn killed_at_any_instant_it_leaves_nothing_wrong_and_uploads_nothing_twice() {
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
        for n in 0..80 {
            fs::write(path.join(format!("f{n}")), pattern(n, size(n))).unwrap();
        }
    });
    let brick = scene.brick(0);
    let mut random = fastrand::Rng::with_seed(20_261_122);
    let mut killed = 0;
    for round in 0..8 {
        // Slow enough to be killed in every phase.
        let args = [
            "archive",
            "--older-than=0s",
            "--jobs=4",
            "--order=found",
            &brick,
        ];
        let mut run = scene.start(&args);
        thread::sleep(Duration::from_millis(random.u64(300..1500)));
        killed += u32::from(scene.signal("KILL"));
        run.wait().unwrap();
        // Each file is local or whole in the store, also right after.
        let n = random.u64(0..80);
        assert!(
            scene.read(&format!("f{n}")) == pattern(n, size(n)),
            "f{n} in round {round}"
        );
    }
    assert!(killed >= 4, "only {killed} of 8 runs were killed");
    // The bricks may take a moment to notice that the last client is gone: its files count as open until then. One
    // that was killed right after a cut leaves a cold file with a mark, which the next reader clears up.
    let in_the_store = |n: u64| {
        let at = scene.volume.bricks()[0].join(format!("f{n}"));
        xattr::get(at, "trusted.glusterfs.cs.remote")
            .unwrap()
            .is_some()
    };
    until(PATIENCE, "a run that leaves nothing", || {
        scene.done(&archive(&brick));
        (0..80).all(in_the_store).then_some(())
    })
    .unwrap();
    assert_eq!(scene.bucket.list("").unwrap().len(), 80);
    scene.remount();
    for n in 0..80 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, size(n)), "f{n}");
    }
    // The mounts of the runs that were killed are gone, and their clients.
    let left = lab()
        .sh("ls -d /run/cloudsync/killed-* 2>/dev/null || true")
        .unwrap();
    assert_eq!(left, "");
}

#[test]
fn two_archivers_at_once_upload_each_file_once() {
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
        let said = scene.cloudsync(&args);
        assert_eq!(said.code(), Some(0), "{said}");
        number(&said.text(), "archived")
    };
    let (one, two) = thread::scope(|scope| {
        let other = scope.spawn(|| at(&mount));
        (at(&brick), other.join().unwrap())
    });
    println!("{one} and {two}");
    // What one left to the other and the other to the one.
    scene.done(&archive(&brick));
    assert!((0..150).all(|n| scene.is_cold(&format!("f{n}"))));
    // One may read what the other has just cut, which brings it back, and cut it again; but it uploads nothing twice.
    assert_eq!(scene.bucket.list("").unwrap().len(), 150);
    scene.done(&["verify", &brick]);
    scene.remount();
    for n in 0..150 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, 2000), "f{n}");
    }
}

#[test]
fn a_replicated_volume_with_a_brick_down_is_archived() {
    let mut scene = Scene::on("replica", Layout::Replica(3), &[]);
    for n in 0..20 {
        scene.write(&format!("f{n}"), &pattern(n, 5000));
    }
    scene.volume.kill_brick(2).unwrap();
    let said = scene.done(&archive(&scene.brick(0)));
    assert_eq!(number(&said, "archived"), 20, "{said}");
    scene.remount();
    for n in 0..10 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, 5000), "f{n}");
    }
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    scene.remount();
    // The brick that was away learns of it from the others.
    let path = scene.mount().path();
    scene.within("look", move || {
        for n in 0..20 {
            fs::metadata(path.join(format!("f{n}"))).unwrap();
        }
    });
    let bricks = scene.volume.bricks();
    until(PATIENCE, "the brick to be healed", || {
        let stub = |n: u64| is_stub(&bricks[2].join(format!("f{n}")));
        // Refused until the daemon that heals has found its bricks.
        let _ = lab().gluster(["volume", "heal", scene.volume.name()]);
        (10..20).all(stub).then_some(())
    })
    .unwrap();
    for n in 0..20 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, 5000), "f{n}");
    }
}
