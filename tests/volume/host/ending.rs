// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A client is ended while it recalls fifty files: it ends in time, and every file reads afterwards.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Instant;

use cloudsync_format::claim::Claim;
use cloudsync_lab::{Backing, Outcome, until};

use crate::gate::Gate;
use crate::scene::{PATIENCE, Scene, assert_same, claim, lab, pattern};

const FILES: usize = 50;
/// More than the gate lets through at once, and what is left takes minutes.
const LENGTH: usize = crate::gate::AT_ONCE + (1 << 20);

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

/// One object for all files: it is only read.
fn archive(scene: &mut Scene) {
    for number in 0..FILES {
        let name = name(number);
        let keyed = Claim {
            key: Some("held/object".to_owned()),
            ..claim(&scene.stat(&name))
        };
        scene.complete(&name, &keyed.to_string()).unwrap();
    }
    scene.remount();
}

fn in_mid_recall(scene: &mut Scene, gate: &Gate, what: &str, end: impl FnOnce(&Scene)) {
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
    let begun = until(PATIENCE, "fifty recalls", busy);
    begun.unwrap_or_else(|failure| panic!("{failure}\n{last}"));
    let partly = (0..FILES).filter(|number| !scene.volume.is_cold_now(&name(*number)));
    let partly = partly.count();
    let begun = Instant::now();
    end(scene);
    let took = begun.elapsed();
    let bytes = pattern(3, LENGTH);
    let mut came = 0;
    for reader in readers {
        if let Ok(read) = reader.join().unwrap() {
            assert_same(&read, &bytes, what);
            came += 1;
        }
    }
    eprintln!(
        "| {what} during {FILES} recalls | over after {took:.1?}; {came} readers got the bytes, the others an errno; \
         before, {partly} files were there in part |"
    );
    gate.open();
    scene.crash_and_remount();
    for number in 0..FILES {
        let name = name(number);
        assert_same(&scene.read(&name).unwrap(), &bytes, &name);
        scene.await_plain(&name);
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
fn a_client_is_ended_during_fifty_recalls() {
    let (mut scene, gate) = scene();
    in_mid_recall(&mut scene, &gate, "SIGTERM", |scene| {
        terminate(scene);
        await_end(scene);
    });
    // The mount is gone from the tree; the client lives on for its readers, and they get their bytes.
    in_mid_recall(&mut scene, &gate, "umount -l", |scene| {
        let said = umount(scene, "-l");
        assert!(said.success(), "{said}");
        assert!(scene.mount().alive(), "it has readers");
        gate.open();
        await_end(scene);
    });
    // In use, as any other; then the client is ended, as a shutdown does it.
    in_mid_recall(&mut scene, &gate, "umount", |scene| {
        let said = umount(scene, "-v");
        assert!(
            !said.success() && said.to_string().contains("busy"),
            "{said}"
        );
        terminate(scene);
        await_end(scene);
    });
}
