// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Geo-replication's worker is a client with a special process id (`--client-pid=-1`) that copies changes to another
//! volume. It sees no marks, and its reads do not recall.

use std::fs;

use cloudsync_lab::{MountOptions, until};

use crate::scene::{PATIENCE, Scene, assert_same, lab, pattern};

#[test]
fn geo_replication_copies_cold_files_without_recalling_them() {
    let mut scene = Scene::new("copier");
    let files = [("small", 20_000), ("large", 5 << 20)];
    for (name, length) in files {
        scene.write(name, &pattern(1, length));
        scene.archive(name);
    }
    let worker = MountOptions::default().arg("--client-pid=-1");
    let worker = scene.volume.mount(&worker).unwrap();
    let to = lab().scratch("copied");
    let from = worker.inside().display().to_string();
    // As gsyncd calls it, except for its list of files.
    lab()
        .sh(&format!(
            "mkdir -p {to}; rsync -aR0 --inplace --super --numeric-ids --no-implied-dirs --xattrs --acls {from}/./ {to}/",
            to = to.display()
        ))
        .unwrap();
    for (name, length) in files {
        let copy = lab().outer(&to).join(name);
        assert_same(&fs::read(&copy).unwrap(), &pattern(1, length), name);
        let marks: Vec<_> = xattr::list(&copy)
            .unwrap()
            .filter(|name| {
                name.to_string_lossy().contains("cloudsync")
                    || name.to_string_lossy().contains(".cs.")
            })
            .collect();
        assert!(marks.is_empty(), "{marks:?}");
        assert!(scene.is_cold(name), "{name} was recalled");
    }
    drop(worker);
    // The same read by any other client recalls the file.
    scene.remount();
    assert_same(&scene.read("small").unwrap(), &pattern(1, 20_000), "small");
    until(PATIENCE, "the recall", || {
        scene.is_local_now("small").then_some(())
    })
    .unwrap();
}
