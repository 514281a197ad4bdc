// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Ordinary programs working on cold files: some on a mount, and servers that use libgfapi.

mod ganesha;
mod local;
mod qemu;
mod samba;

use std::time::Duration;

use cloudsync_lab::Outcome;

use crate::scene::{Scene, lab};

/// Whether the lab has a program; if not, reports that the test is skipped.
fn has_program(program: &str, package: &str) -> bool {
    let found = lab().run("which", [program]).unwrap().success();
    if !found {
        eprintln!("SKIPPED: no {program} here; scripts/deps.sh acts installs {package}");
    }
    found
}

/// Runs a script in the mount's root, with `$scratch`, a directory outside the mount, which is also its home.
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

/// Runs a script like [`shell`], expects success, and returns its output.
#[track_caller]
fn succeeds(scene: &Scene, script: &str) -> String {
    let ran = shell(scene, script);
    assert!(ran.success(), "{ran}\n{}", scene.mount().report());
    ran.text()
}

/// Runs a script like [`shell`] and expects a failure, but no hang.
#[track_caller]
fn fails(scene: &Scene, script: &str) {
    let ran = shell(scene, script);
    assert!(ran.status.is_some(), "the script hangs: {ran}");
    assert!(!ran.success(), "{ran}");
}

/// Deletes every object of the store.
fn lose_all_objects(scene: &Scene) {
    for object in scene.bucket.list("").unwrap() {
        scene.bucket.delete(&object).unwrap();
    }
}
