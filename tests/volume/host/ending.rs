// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A client is terminated while it recalls fifty files: it ends in time, and every file can be read afterwards.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Instant;

use cloudsync_format::claim::Claim;
use cloudsync_lab::{Backing, MountOptions, Outcome, until};

use crate::gate::Gate;
use crate::scene::{LONG_QUEUE, PATIENCE, Scene, assert_same, claim, lab, pattern};

const FILES: usize = 50;
/// More than the gate passes in its first burst; the rest would take minutes.
const LENGTH: usize = crate::gate::BURST + (1 << 20);

fn name(number: usize) -> String {
    format!("held/file-{number}")
}

fn scene() -> (Scene, Gate) {
    let gate = Gate::new();
    let settings = [
        ("features.s3plugin-hostname", gate.url()),
        ("features.cloudsync-product-id", "recalls=50"),
    ];
    let scene = Scene::with("host-ending", &settings, Backing::Ram);
    let bytes = pattern(3, LENGTH);
    (0..FILES).for_each(|number| scene.write(&name(number), &bytes));
    scene.bucket.put("held/object", &bytes).unwrap();
    (scene, gate)
}

/// All files share one object, which is only read.
fn archive(scene: &mut Scene) {
    for number in 0..FILES {
        let name = name(number);
        let keyed = Claim {
            key: Some("held/object".to_owned()),
            ..claim(&scene.stat(&name))
        };
        scene.complete(&name, &keyed.to_string()).unwrap();
    }
    scene.remount_with(&MountOptions::default().arg(LONG_QUEUE));
}

fn during_recalls(scene: &mut Scene, gate: &Gate, what: &str, end: impl FnOnce(&Scene)) {
    archive(scene);
    gate.hold();
    let paths: Vec<PathBuf> = (0..FILES).map(|number| scene.path(&name(number))).collect();
    let readers: Vec<_> = paths
        .into_iter()
        .map(|path| thread::spawn(move || fs::read(path)))
        .collect();
    let private = scene.private();
    let mut last = String::new();
    let busy = || {
        last = scene.mount().meta(&private).unwrap_or_default();
        let jobs = format!("jobs = {FILES}");
        last.lines().any(|line| line == jobs).then_some(())
    };
    let started = until(PATIENCE, "fifty recalls", busy);
    started.unwrap_or_else(|failure| panic!("{failure}\n{last}"));
    let partly = (0..FILES).filter(|number| !scene.volume.is_cold_now(&name(*number)));
    let partly = partly.count();
    let started = Instant::now();
    end(scene);
    let took = started.elapsed();
    let bytes = pattern(3, LENGTH);
    let mut complete = 0;
    for reader in readers {
        if let Ok(read) = reader.join().unwrap() {
            assert_same(&read, &bytes, what);
            complete += 1;
        }
    }
    eprintln!(
        "| {what} during {FILES} recalls | ended after {took:.1?}; {complete} readers got the bytes, the others an errno; \
         before, {partly} files had been written in part |"
    );
    gate.open();
    scene.crash_and_remount();
    for number in 0..FILES {
        let name = name(number);
        assert_same(&scene.read(&name).unwrap(), &bytes, &name);
        scene.await_local(&name);
    }
    scene.assert_idle();
}

fn await_end(scene: &Scene) {
    until(PATIENCE, "the client's end", || {
        (!scene.mount().alive()).then_some(())
    })
    .unwrap();
}

fn terminate(scene: &Scene) {
    let pid = scene.mount().pid().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
}

fn umount(scene: &Scene, how: &str) -> Outcome {
    let point = scene.mount().inside().as_os_str();
    lab().run("umount", [how.as_ref(), point]).unwrap()
}

#[test]
fn a_client_is_terminated_during_fifty_recalls() {
    let (mut scene, gate) = scene();
    during_recalls(&mut scene, &gate, "SIGTERM", |scene| {
        terminate(scene);
        await_end(scene);
    });
    // The mount disappears from the tree; the client lives on for its readers, which get their bytes.
    during_recalls(&mut scene, &gate, "umount -l", |scene| {
        let output = umount(scene, "-l");
        assert!(output.success(), "{output}");
        assert!(scene.mount().alive(), "it still has readers");
        gate.open();
        await_end(scene);
    });
    // umount fails because the mount is in use; then the client is terminated, as in a shutdown.
    during_recalls(&mut scene, &gate, "umount", |scene| {
        let output = umount(scene, "-v");
        assert!(
            !output.success() && output.to_string().contains("busy"),
            "{output}"
        );
        terminate(scene);
        await_end(scene);
    });
}
