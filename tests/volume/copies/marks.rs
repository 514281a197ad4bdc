// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The marks themselves: who can see and set them, and what happens to a file that carries another file's marks.

use cloudsync_lab::marks;

use crate::scene::{Scene, assert_same, errno, lab, pattern};

const REMOTE: &str = "trusted.glusterfs.cs.remote";
/// Our marks, and those that GlusterFS sets for us.
const NAMES: [&str; 10] = [
    "trusted.glusterfs.cs.remote",
    "trusted.glusterfs.cs.downloading",
    "trusted.glusterfs.cs.object_size",
    "trusted.glusterfs.cs.num_blocks",
    "trusted.glusterfs.cs.block_size",
    "trusted.glusterfs.cs.key",
    "trusted.glusterfs.cs.version",
    "trusted.glusterfs.cs.record",
    "trusted.cloudsync.last",
    "trusted.cloudsync.kept",
];
/// The word in the client's log line when a cold file turns out to hold bytes that are not from its object.
const LOGGED: &str = "kept";

/// A cold file `cold` of 50000 bytes, and local files that got a copy of its marks: of the same size, longer, shorter.
fn with_copied_marks(name: &str) -> (Scene, Vec<(&'static str, Vec<u8>)>) {
    let mut scene = Scene::new(name);
    scene.write("cold", &pattern(1, 50_000));
    scene.archive_all("");
    let marks = marks::all(&scene.brick("cold"));
    assert!(marks.len() >= 6, "{marks:?}");
    let files = vec![
        ("as-long", pattern(2, 50_000)),
        ("longer", pattern(3, 70_000)),
        ("shorter", pattern(4, 700)),
    ];
    for (file, bytes) in &files {
        scene.write(file, bytes);
        for (mark, value) in &marks {
            xattr::set(scene.brick(file), mark, value).unwrap();
        }
    }
    scene.remount();
    (scene, files)
}

#[track_caller]
fn assert_kept(scene: &mut Scene, files: &[(&str, Vec<u8>)]) {
    for (file, bytes) in files {
        assert_same(&scene.read(file).unwrap(), bytes, file);
        assert_eq!(scene.stat(file).len(), bytes.len() as u64, "{file}");
        assert!(scene.logs_about(file, LOGGED), "no log line about {file}");
        assert!(scene.is_local(file), "{}", scene.marks(file));
    }
    scene.remount();
    for (file, bytes) in files {
        assert_same(&scene.read(file).unwrap(), bytes, "after a remount");
        let below = std::fs::read(scene.brick(file)).unwrap();
        assert_same(&below, bytes, "on the brick");
    }
}

#[test]
fn a_file_with_copied_marks_keeps_its_bytes() {
    let (mut scene, files) = with_copied_marks("marked");
    assert_kept(&mut scene, &files);
    assert_same(&scene.read("cold").unwrap(), &pattern(1, 50_000), "cold");
}

#[test]
fn a_file_with_copied_marks_reads_without_the_object() {
    let (mut scene, files) = with_copied_marks("marked-gone");
    for object in scene.bucket.list("").unwrap() {
        scene.bucket.delete(&object).unwrap();
    }
    assert_kept(&mut scene, &files);
    assert_eq!(errno(scene.read("cold")), libc::ENODATA);
}

#[test]
fn a_write_to_a_file_with_copied_marks_keeps_its_bytes() {
    use std::os::unix::fs::FileExt;
    let (mut scene, files) = with_copied_marks("marked-write");
    for (file, _) in &files {
        let path = scene.path(file);
        scene
            .within("write", move || {
                let file = std::fs::File::options().write(true).open(path)?;
                file.write_all_at(b"later", 100)?;
                file.sync_all()
            })
            .unwrap();
    }
    scene.remount();
    for (file, mut bytes) in files {
        bytes[100..105].copy_from_slice(b"later");
        assert_same(&scene.read(file).unwrap(), &bytes, file);
    }
}

#[test]
fn marks_are_not_listed_but_cs_remote_can_be_read() {
    let mut scene = Scene::new("listed");
    for name in ["cold", "back"] {
        scene.write(name, &pattern(1, 50_000));
    }
    scene.archive_all("");
    scene.read("back").unwrap();
    scene.await_local("back");
    scene.remount();
    for name in ["cold", "back"] {
        let inside = scene.inside(name);
        let listed = lab().sh(&format!(
            "getfattr -d -m - -e hex --absolute-names {inside}"
        ));
        let listed = listed.unwrap();
        assert!(
            !listed.contains("glusterfs.cs.") && !listed.contains("trusted.cloudsync."),
            "{listed}"
        );
    }
    let ask = |name: &str| {
        let inside = scene.inside(name);
        lab().run("getfattr", ["--only-values", "-n", REMOTE, &inside])
    };
    let answer = ask("cold").unwrap();
    assert!(answer.success() && !answer.stdout.is_empty(), "{answer}");
    assert!(!ask("back").unwrap().success(), "a local file has no mark");
}

#[test]
fn setting_a_mark_succeeds_and_does_nothing() {
    let mut scene = Scene::new("set");
    for name in ["cold", "local"] {
        scene.write(name, &pattern(1, 50_000));
        if name == "cold" {
            scene.archive_all("");
        }
    }
    scene.remount();
    let before = ["cold", "local"].map(|name| marks::all(&scene.brick(name)));
    for file in ["cold", "local"] {
        for name in NAMES {
            let path = scene.path(file);
            let set = scene.within("setfattr", move || xattr::set(path, name, b"12345"));
            assert!(set.is_ok(), "{name} on {file}: {set:?}");
        }
    }
    let after = ["cold", "local"].map(|name| marks::all(&scene.brick(name)));
    assert_eq!(after, before);
    scene.remount();
    for file in ["cold", "local"] {
        assert_same(&scene.read(file).unwrap(), &pattern(1, 50_000), file);
    }
}

#[test]
fn removing_a_mark_fails_with_eperm() {
    let mut scene = Scene::new("removed");
    scene.write("cold", &pattern(1, 50_000));
    scene.archive_all("");
    scene.remount();
    let before = marks::all(&scene.brick("cold"));
    for (name, _) in &before {
        let (path, name) = (scene.path("cold"), name.clone());
        let removed = scene.within("setfattr -x", move || xattr::remove(path, name));
        assert_eq!(errno(removed), libc::EPERM);
    }
    assert_eq!(marks::all(&scene.brick("cold")), before);
    assert!(scene.is_cold("cold"));
    assert_same(&scene.read("cold").unwrap(), &pattern(1, 50_000), "cold");
}
