// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Programs that nobody wrote for cold files, at work on them: those that run on a mount, and the servers that bring
//! libgfapi along.

mod daemon;
mod ganesha;
mod local;
mod qemu;
mod samba;

use std::time::Duration;

use cloudsync_lab::Outcome;

use crate::scene::{Scene, lab};

/// Whether the lab has that program; a test that goes without it says so.
fn there_is(program: &str, package: &str) -> bool {
    let found = lab().run("which", [program]).unwrap().success();
    if !found {
        eprintln!("SKIPPED: no {program} here; scripts/deps.sh acts installs {package}");
    }
    found
}

/// Runs a script in the mount's root, with $scratch, a directory outside, and a home of its own.
fn shell(scene: &Scene, script: &str) -> Outcome {
    let scratch = lab().scratch(&format!("acts-{}", scene.volume.name()));
    let script = format!(
        "set -e -o pipefail\nscratch={scratch}\nmkdir -p $scratch\nexport HOME=$scratch\ncd {mount}\n{script}",
        scratch = scratch.display(),
        mount = scene.mount().inside().display(),
    );
    lab()
        .run_with(Duration::from_secs(100), "bash", ["-c", &script], |_| {})
        .unwrap()
}

/// The same, which must do all of it; returns what it printed.
#[track_caller]
fn done(scene: &Scene, script: &str) -> String {
    let ran = shell(scene, script);
    assert!(ran.success(), "{ran}\n{}", scene.mount().report());
    ran.text()
}

/// The same, which must not say that all is well.
#[track_caller]
fn fails(scene: &Scene, script: &str) {
    let ran = shell(scene, script);
    assert!(ran.status.is_some(), "it hangs: {ran}");
    assert!(!ran.success(), "{ran}");
}

/// Empties the store.
fn lose_all_objects(scene: &Scene) {
    for object in scene.bucket.list("").unwrap() {
        scene.bucket.delete(&object).unwrap();
    }
}
