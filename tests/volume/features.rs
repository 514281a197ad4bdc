// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Features of the bricks that handle a file's bytes: trash keeps what is removed or truncated.

use std::fs;
use std::path::PathBuf;

use cloudsync_lab::Backing;

use crate::scene::{Scene, assert_same, pattern};

#[test]
fn trash_keeps_removed_cold_files_and_no_copy_of_archived_bytes() {
    let mut scene = Scene::with("trash", &[("features.trash", "on")], Backing::Ram);
    let bytes = pattern(1, 2_000_000);
    for name in ["removed", "kept"] {
        scene.write(name, &bytes);
        scene.archive(name);
    }
    let trashed = |scene: &Scene| -> Vec<PathBuf> {
        let folder = fs::read_dir(scene.path(".trashcan")).unwrap();
        let all = folder.map(|entry| entry.unwrap().path());
        all.filter(|path| path.is_file()).collect()
    };
    // The handshake's truncation is not a user's.
    assert_eq!(trashed(&scene), Vec::<PathBuf>::new());
    fs::remove_file(scene.path("removed")).unwrap();
    scene.remount();
    let in_trash = trashed(&scene);
    assert_eq!(in_trash.len(), 1, "{in_trash:?}");
    let path = in_trash[0].clone();
    let read = scene.within("a read in the trash", move || fs::read(path));
    assert_same(&read.unwrap(), &bytes, "the removed file");
    assert!(scene.is_cold("kept"), "{}", scene.marks("kept"));
    assert_same(&scene.read("kept").unwrap(), &bytes, "kept");
}
