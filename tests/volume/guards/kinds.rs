// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The guards.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use cloudsync_lab::{MountOptions, until};

use super::tries::{ACTS, Client};
use super::{Guard, hold};
use crate::scene::{PATIENCE, Scene, lab};

const NOBODY: u32 = 65_534;
const ALL: &[&str] = &[
    "truncate-0",
    "truncate-n",
    "ftruncate-0",
    "ftruncate-n",
    "open",
    "create",
    "write",
];
/// What needs no open: a guard at the open is not asked there.
const BY_NAME: &[&str] = &["truncate-0", "truncate-n"];

fn ordinary(_: &Scene, _: &str) {}

fn mode(scene: &Scene, name: &str, mode: u32) {
    let path = scene.path(name);
    scene
        .within("chmod", move || {
            fs::set_permissions(path, Permissions::from_mode(mode))
        })
        .unwrap();
}

/// Switches an option and waits until the bricks do as it says: they hear of it later.
fn switch(scene: &Scene, option: &str, value: &str) {
    scene.volume.set(option, value).unwrap();
    let path = scene.path("probe");
    let (on, what) = (value == "on", format!("{option} {value}"));
    until(PATIENCE, &what, || {
        let path = path.clone();
        // Not the open: open-behind answers that without the bricks.
        let tried = scene.within("probe", move || {
            File::options().write(true).open(path)?.set_len(0)
        });
        (tried.is_err() == on).then_some(())
    })
    .unwrap();
}

#[test]
fn a_volume_that_is_read_only() {
    read_only(Scene::new("read-only"));
}

pub(super) fn read_only(mut scene: Scene) {
    no_writes(&mut scene, "features.read-only");
}

/// While `option` is on, the bricks change nothing.
fn no_writes(scene: &mut Scene, option: &str) {
    scene.write("probe", b"");
    let guard = Guard {
        user: 0,
        says: &["EROFS"],
        refuses: ALL,
    };
    hold(
        scene,
        &guard,
        ordinary,
        |scene| switch(scene, option, "on"),
        |scene, ()| switch(scene, option, "off"),
    );
}

#[test]
fn a_volume_that_is_written_once() {
    no_writes(&mut Scene::new("worm"), "features.worm");
}

#[test]
fn a_file_that_is_retained() {
    retained(Scene::new("retained"));
}

/// A file without a bit to write is retained from then on. Who opens it to cut it is not asked: see the local one.
pub(super) fn retained(mut scene: Scene) {
    let settings = [
        ("features.worm-file-level", "on"),
        ("features.default-retention-period", "3600"),
        ("features.auto-commit-period", "3600"),
    ];
    scene.volume.set_all(&settings).unwrap();
    // Only what is made after the bricks have heard of it can be retained.
    let path = scene.path("probe");
    let mut number = 0;
    until(PATIENCE, "files that can be retained", || {
        number += 1;
        let path = path.with_extension(number.to_string());
        let made = scene.within("probe", move || File::create(path).map(drop));
        made.unwrap();
        let brick = scene.brick(&format!("probe.{number}"));
        xattr::get(brick, "trusted.start_time").unwrap()
    })
    .unwrap();
    let guard = Guard {
        user: 0,
        says: &["EROFS"],
        refuses: BY_NAME,
    };
    hold(
        &mut scene,
        &guard,
        ordinary,
        |scene| {
            for client in Client::ALL {
                for state in ["local", "cold"] {
                    for act in ACTS {
                        mode(scene, &client.file(state, act), 0o444);
                    }
                }
            }
        },
        |scene, ()| {
            scene.volume.set("features.worm-file-level", "off").unwrap();
        },
    );
}

#[test]
fn a_root_that_is_nobody_here() {
    squash(Scene::new("squash"));
}

pub(super) fn squash(mut scene: Scene) {
    let guard = Guard {
        user: 0,
        says: &["EACCES", "EPERM"],
        refuses: BY_NAME,
    };
    let others = |scene: &Scene, name: &str| {
        let path = scene.path(name);
        scene
            .within("chown", move || chown(path, Some(1234), Some(1234)))
            .unwrap();
    };
    hold(
        &mut scene,
        &guard,
        others,
        |scene| {
            scene.volume.set("server.root-squash", "on").unwrap();
            // In a folder that is root's alone, nobody makes a file.
            let path = scene.path("fuse-local/new");
            until(PATIENCE, "the squash", || {
                let path = path.clone();
                let made = scene.within("probe", move || File::create(path));
                made.is_err().then_some(())
            })
            .unwrap();
        },
        |scene, ()| scene.volume.set("server.root-squash", "off").unwrap(),
    );
}

#[test]
fn a_lock_of_somebody_else() {
    locked(Scene::new("locked"));
}

pub(super) fn locked(mut scene: Scene) {
    scene
        .volume
        .set("locks.mandatory-locking", "forced")
        .unwrap();
    // The bricks look at it when they start.
    scene.volume.stop().unwrap();
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    scene.remount();
    let guard = Guard {
        user: 0,
        says: &["EAGAIN"],
        refuses: BY_NAME,
    };
    hold(
        &mut scene,
        &guard,
        ordinary,
        |scene| {
            let other = scene.volume.mount(&MountOptions::default()).unwrap();
            let mut held = Vec::new();
            for client in Client::ALL {
                for state in ["local", "cold"] {
                    for act in ACTS {
                        let path = other.path().join(client.file(state, act));
                        held.push(other.within(PATIENCE, "lock", move || {
                            let file = File::open(path).unwrap();
                            let shared = rustix::fs::FlockOperation::NonBlockingLockShared;
                            rustix::fs::fcntl_lock(&file, shared).unwrap();
                            file
                        }));
                    }
                }
            }
            (other, held)
        },
        |_, (other, held)| {
            drop(held);
            other.unmount().unwrap();
        },
    );
}

#[test]
fn a_file_of_somebody_else() {
    let mut scene = Scene::new("owner");
    let guard = Guard {
        user: NOBODY,
        says: &["EACCES"],
        refuses: ALL,
    };
    hold(
        &mut scene,
        &guard,
        |scene, name| mode(scene, name, 0o644),
        |_| (),
        |_, ()| (),
    );
}

/// The mode would let everybody write; what the list says is known to the bricks alone.
#[test]
fn a_list_that_only_the_bricks_know() {
    let mut scene = Scene::new("acl");
    let guard = Guard {
        user: NOBODY,
        says: &["EACCES"],
        refuses: BY_NAME,
    };
    hold(
        &mut scene,
        &guard,
        |scene, name| mode(scene, name, 0o666),
        |scene| {
            let options = MountOptions::default().arg("--acl");
            let with_lists = scene.volume.mount(&options).unwrap();
            let script = format!(
                "setfacl -m u:{NOBODY}:r {}/*-*/*",
                with_lists.inside().display()
            );
            lab().sh(&script).unwrap();
            with_lists.unmount().unwrap();
        },
        |_, ()| (),
    );
}
