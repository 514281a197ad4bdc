// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One test for each guard.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use cloudsync_lab::{MountOptions, until};

use super::tries::{ACTIONS, Client};
use super::{Guard, check};
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
/// Without the opens: this guard does not check them.
const BY_NAME: &[&str] = &["truncate-0", "truncate-n"];

fn unchanged(_: &Scene, _: &str) {}

fn set_mode(scene: &Scene, name: &str, mode: u32) {
    let path = scene.path(name);
    scene
        .within("chmod", move || {
            fs::set_permissions(path, Permissions::from_mode(mode))
        })
        .unwrap();
}

/// Sets an option and waits until the bricks apply it, which takes a moment.
fn switch(scene: &Scene, option: &str, value: &str) {
    scene.volume.set(option, value).unwrap();
    let path = scene.path("probe");
    let (on, what) = (value == "on", format!("{option} {value}"));
    until(PATIENCE, &what, || {
        let path = path.clone();
        // Not the open: open-behind answers it without the bricks.
        let tried = scene.within("probe", move || {
            File::options().write(true).open(path)?.set_len(0)
        });
        (tried.is_err() == on).then_some(())
    })
    .unwrap();
}

#[test]
fn a_read_only_volume_keeps_cold_files_intact() {
    read_only(Scene::new("read-only"));
}

pub(super) fn read_only(mut scene: Scene) {
    refuses_every_change(&mut scene, "features.read-only");
}

/// While `option` is on, the bricks refuse every change.
fn refuses_every_change(scene: &mut Scene, option: &str) {
    scene.write("probe", b"");
    let guard = Guard {
        user: 0,
        errnos: &["EROFS"],
        refuses: ALL,
    };
    check(
        scene,
        &guard,
        unchanged,
        |scene| switch(scene, option, "on"),
        |scene, ()| switch(scene, option, "off"),
    );
}

#[test]
fn a_worm_volume_keeps_cold_files_intact() {
    refuses_every_change(&mut Scene::new("worm"), "features.worm");
}

#[test]
fn a_retained_cold_file_stays_intact() {
    retained(Scene::new("retained"));
}

/// A file becomes retained when its write permission is removed. It does not guard against an open with O_TRUNC, as
/// the local file shows.
pub(super) fn retained(mut scene: Scene) {
    let settings = [
        ("features.worm-file-level", "on"),
        ("features.default-retention-period", "3600"),
        ("features.auto-commit-period", "3600"),
    ];
    scene.volume.set_all(&settings).unwrap();
    // Only files created after the bricks have applied the option can be retained.
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
        errnos: &["EROFS"],
        refuses: BY_NAME,
    };
    check(
        &mut scene,
        &guard,
        unchanged,
        |scene| {
            for client in Client::ALL {
                for state in ["local", "cold"] {
                    for action in ACTIONS {
                        set_mode(scene, &client.file(state, action), 0o444);
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
fn root_squash_keeps_cold_files_intact() {
    squash(Scene::new("squash"));
}

pub(super) fn squash(mut scene: Scene) {
    let guard = Guard {
        user: 0,
        errnos: &["EACCES", "EPERM"],
        refuses: BY_NAME,
    };
    let others = |scene: &Scene, name: &str| {
        let path = scene.path(name);
        scene
            .within("chown", move || chown(path, Some(1234), Some(1234)))
            .unwrap();
    };
    check(
        &mut scene,
        &guard,
        others,
        |scene| {
            scene.volume.set("server.root-squash", "on").unwrap();
            // Root cannot create a file in a directory that only root may write to.
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
fn a_mandatory_lock_keeps_a_cold_file_intact() {
    locked(Scene::new("locked"));
}

pub(super) fn locked(mut scene: Scene) {
    scene
        .volume
        .set("locks.mandatory-locking", "forced")
        .unwrap();
    // Bricks read this option when they start.
    scene.volume.stop().unwrap();
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    scene.remount();
    let guard = Guard {
        user: 0,
        errnos: &["EAGAIN"],
        refuses: BY_NAME,
    };
    check(
        &mut scene,
        &guard,
        unchanged,
        |scene| {
            let other = scene.volume.mount(&MountOptions::default()).unwrap();
            let mut held = Vec::new();
            for client in Client::ALL {
                for state in ["local", "cold"] {
                    for action in ACTIONS {
                        let path = other.path().join(client.file(state, action));
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
fn file_permissions_keep_a_cold_file_intact() {
    let mut scene = Scene::new("owner");
    let guard = Guard {
        user: NOBODY,
        errnos: &["EACCES"],
        refuses: ALL,
    };
    check(
        &mut scene,
        &guard,
        |scene, name| set_mode(scene, name, 0o644),
        |_| (),
        |_, ()| (),
    );
}

/// The mode allows everybody to write; only the bricks know the ACL.
#[test]
fn an_acl_keeps_a_cold_file_intact() {
    let mut scene = Scene::new("acl");
    let guard = Guard {
        user: NOBODY,
        errnos: &["EACCES"],
        refuses: BY_NAME,
    };
    check(
        &mut scene,
        &guard,
        |scene, name| set_mode(scene, name, 0o666),
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
