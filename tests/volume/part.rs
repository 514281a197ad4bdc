// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! During a recall by one client, a part of the file is on the bricks. A client that believes the file to be local, because
//! another client archived it since, must not take that part for the file.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use cloudsync_lab::MountOptions;

use crate::gate::Gate;
use crate::meanwhile::{LENGTH, await_first_bytes, hold, old};
use crate::scene::{PATIENCE, Scene, assert_same};

#[test]
fn a_stale_client_does_not_see_a_partly_recalled_file() {
    type Operation = fn(&Path, &fs::File) -> PathBuf;
    let operations: [(&str, Operation); 5] = [
        ("setfattr", |path, _| {
            xattr::set(path, "user.colour", b"blue").unwrap();
            path.to_owned()
        }),
        ("ln", |path, _| {
            let link = path.with_extension("link");
            fs::hard_link(path, &link).unwrap();
            link
        }),
        ("mv", |path, _| {
            let moved = path.with_extension("moved");
            fs::rename(path, &moved).unwrap();
            moved
        }),
        ("fsync", |path, file| {
            file.sync_all().unwrap();
            path.to_owned()
        }),
        ("chmod", |path, _| {
            fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
            path.to_owned()
        }),
    ];
    let gate = Gate::new();
    let mut scene = Scene::new("old-view");
    let names: Vec<_> = operations
        .iter()
        .map(|operation| format!("held/{}", operation.0))
        .collect();
    names.iter().for_each(|name| scene.write(name, &old()));
    let options = MountOptions::default()
        .arg("--attribute-timeout=600")
        .arg("--entry-timeout=600");
    let other = scene.volume.mount(&options).unwrap();
    let files: Vec<_> = names
        .iter()
        .map(|name| {
            let path = other.path().join(name);
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(&path)
                .unwrap();
            file.read_exact_at(&mut [0; 10], 0).unwrap();
            file
        })
        .collect();
    names.iter().for_each(|name| scene.archive(name));
    hold(&mut scene, &gate);
    let read = |path: PathBuf| thread::spawn(move || fs::read(path));
    let readers: Vec<_> = names.iter().map(|name| read(scene.path(name))).collect();
    await_first_bytes(&scene, &names);
    let paths: Vec<_> = names.iter().map(|name| other.path().join(name)).collect();
    let seen = other.within(PATIENCE, "stat", move || {
        let results = operations
            .iter()
            .zip(paths)
            .zip(files)
            .map(|((operation, path), file)| {
                let path = operation.1(&path, &file);
                let length = fs::metadata(&path).unwrap().len();
                (operation.0, path, file, length)
            });
        results.collect::<Vec<_>>()
    });
    gate.open();
    for reader in readers {
        scene
            .within("read", move || reader.join().unwrap())
            .unwrap();
    }
    for (name, path, file, length) in seen {
        assert_eq!(length, LENGTH as u64, "size after {name}");
        let bytes = other.within(PATIENCE, name, move || {
            drop(file);
            fs::read(path).unwrap()
        });
        assert_same(&bytes, &old(), name);
    }
}
