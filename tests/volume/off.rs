// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The feature is switched off, cold files are written to by clients without the translator, and it is switched on again:
//! the new bytes can be read, the old object stays, and the brick and the log name its key.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};

use cloudsync_lab::{MountOptions, until};

use crate::scene::{PATIENCE, Scene, assert_same, lab, pattern};

const KEPT: &str = "trusted.cloudsync.kept";
const KEY: &str = "trusted.glusterfs.cs.key";

/// A change made to a cold file while the feature is off, and the content afterwards. Without the feature, cold files look
/// empty.
struct Change {
    name: &'static str,
    apply: fn(&std::path::Path) -> io::Result<()>,
    after: fn() -> Vec<u8>,
}

const SIZE: usize = 50_000;

fn old() -> Vec<u8> {
    pattern(1, SIZE)
}

const CHANGES: [Change; 5] = [
    Change {
        name: "append",
        apply: |path| {
            let mut file = File::options().append(true).open(path)?;
            file.write_all(b"a line\n")?;
            file.sync_all()
        },
        after: || b"a line\n".to_vec(),
    },
    Change {
        name: "overwrite",
        apply: |path| fs::write(path, pattern(2, 70_000)),
        after: || pattern(2, 70_000),
    },
    // As long as the object: only the bytes differ.
    Change {
        name: "same-size",
        apply: |path| fs::write(path, pattern(3, SIZE)),
        after: || pattern(3, SIZE),
    },
    Change {
        name: "in-the-middle",
        apply: |path| {
            let file = File::options().write(true).open(path)?;
            file.write_all_at(&pattern(4, 3000), 10_000)
        },
        after: || {
            let mut bytes = vec![0; 10_000];
            bytes.extend(pattern(4, 3000));
            bytes
        },
    },
    // A restored mtime must prove nothing.
    Change {
        name: "same-time",
        apply: |path| {
            let before = fs::metadata(path)?.modified()?;
            let mut file = File::options().write(true).open(path)?;
            file.write_all(&pattern(5, SIZE))?;
            file.set_modified(before)
        },
        after: || pattern(5, SIZE),
    },
];

/// A cold file for each change, and two that are not changed.
fn cold(name: &str) -> Scene {
    let mut scene = Scene::new(name);
    let untouched = ["untouched", "copied-from"];
    for name in CHANGES.iter().map(|change| change.name).chain(untouched) {
        scene.write(name, &old());
    }
    scene.archive_all("");
    scene.remount();
    scene
}

/// The objects' keys, from the marks on the bricks.
fn keys(scene: &Scene) -> Vec<Vec<u8>> {
    let key = |change: &Change| xattr::get(scene.brick(change.name), KEY).unwrap().unwrap();
    CHANGES.iter().map(key).collect()
}

/// Switches the feature off with `off`, makes the changes through a client without the translator, and switches it on.
#[track_caller]
fn off_and_on(scene: &mut Scene, off: impl FnOnce(&Scene)) {
    scene.take_mount().unmount().unwrap();
    off(scene);
    let stock = scene.volume.mount(&MountOptions::default()).unwrap();
    assert!(
        stock.meta(&scene.private()).is_err(),
        "the translator is still loaded"
    );
    let root = stock.path();
    stock.within(PATIENCE, "write without the translator", move || {
        for change in &CHANGES {
            let path = root.join(change.name);
            assert_eq!(fs::metadata(&path).unwrap().len(), 0, "{}", change.name);
            (change.apply)(&path).unwrap_or_else(|error| panic!("{}: {error}", change.name));
        }
        fs::metadata(root.join("untouched")).unwrap();
        fs::read(root.join("copied-from")).unwrap()
    });
    stock.unmount().unwrap();
    scene.volume.set_store(&scene.bucket, &[]).unwrap();
    scene.put_mount(scene.volume.mount(&MountOptions::default()).unwrap());
}

#[track_caller]
fn assert_new_content(scene: &mut Scene, keys: &[Vec<u8>]) {
    let mut wrong = Vec::new();
    let objects = scene.bucket.list("").unwrap();
    for (change, key) in CHANGES.iter().zip(keys) {
        let (name, want) = (change.name, (change.after)());
        match scene.read(name) {
            Ok(read) if read == want => {}
            Ok(read) if read == old() => wrong.push(format!("{name}: the old bytes")),
            Ok(read) => wrong.push(format!("{name}: {} bytes", read.len())),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
        let size = scene.stat(name).size();
        if size != want.len() as u64 {
            wrong.push(format!("{name}: its size is shown as {size}"));
        }
        if !scene.is_local(name) {
            wrong.push(format!("{name} is not local: {}", scene.marks(name)));
        }
        let key = String::from_utf8_lossy(key).into_owned();
        let kept = xattr::get(scene.brick(name), KEPT).unwrap();
        let kept = String::from_utf8_lossy(&kept.unwrap_or_default()).into_owned();
        if !kept.contains(&key) {
            wrong.push(format!("{name}: kept is '{kept}', without {key}"));
        }
        if !objects.iter().any(|object| key.ends_with(object.as_str())) {
            wrong.push(format!("{name}: its object is missing"));
        }
        if !scene.logs_about(name, "kept") {
            wrong.push(format!("{name}: no log line"));
        }
    }
    scene.remount();
    for change in &CHANGES {
        match scene.read(change.name) {
            Ok(read) if read == (change.after)() => {}
            Ok(read) => wrong.push(format!("{}, remounted: {} bytes", change.name, read.len())),
            Err(error) => wrong.push(format!("{}, remounted: {error}", change.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for name in ["untouched", "copied-from"] {
        assert_same(&scene.read(name).unwrap(), &old(), name);
    }
}

#[test]
fn bytes_written_while_the_feature_was_off_are_kept() {
    let mut scene = cold("off");
    let keys = keys(&scene);
    off_and_on(&mut scene, |scene| {
        scene.volume.set("features.cloudsync", "off").unwrap();
    });
    assert_new_content(&mut scene, &keys);
}

/// `gluster volume reset VOL` resets all settings without asking.
#[test]
fn bytes_written_after_a_volume_reset_are_kept() {
    let mut scene = cold("reset");
    let keys = keys(&scene);
    off_and_on(&mut scene, |scene| {
        lab()
            .gluster(["volume", "reset", scene.volume.name()])
            .unwrap();
    });
    assert_new_content(&mut scene, &keys);
}

#[test]
fn untouched_files_stay_cold_and_read_completely() {
    let mut scene = cold("off-untouched");
    let before = scene.marks("untouched");
    off_and_on(&mut scene, |scene| {
        scene.volume.set("features.cloudsync", "off").unwrap();
    });
    assert!(scene.is_cold("untouched"), "{}", scene.marks("untouched"));
    assert_eq!(scene.marks("untouched"), before);
    assert_eq!(scene.stat("untouched").len(), SIZE as u64);
    assert_same(&scene.read("untouched").unwrap(), &old(), "untouched");
    scene.await_local("untouched");
    let kept = xattr::get(scene.brick("untouched"), KEPT).unwrap();
    assert_eq!(kept, None, "nothing must be kept");
}

/// The mount switches its graph while it is in use.
#[test]
fn a_mount_kept_across_the_switch_reads_the_new_bytes() {
    let scene = cold("off-stays");
    let has = |want: bool| {
        until(PATIENCE, "the other graph", || {
            let ours = scene.mount().meta(&scene.private()).is_ok();
            (ours == want).then_some(())
        })
        .unwrap();
    };
    scene.volume.set("features.cloudsync", "off").unwrap();
    has(false);
    let path = scene.path("append");
    scene
        .within("append", move || (CHANGES[0].apply)(&path))
        .unwrap();
    scene.volume.set("features.cloudsync", "on").unwrap();
    has(true);
    assert_same(&scene.read("append").unwrap(), b"a line\n", "append");
    assert_same(&scene.read("untouched").unwrap(), &old(), "untouched");
}

/// As by a nightly job that found the file empty: same name, same time, other bytes.
#[test]
fn a_file_replaced_in_place_by_rsync_keeps_the_new_bytes() {
    let mut scene = cold("off-rsync");
    let source = lab().scratch("off-rsync-source");
    fs::create_dir(lab().outer(&source)).unwrap();
    fs::write(lab().outer(source.join("append")), pattern(9, SIZE)).unwrap();
    let time = scene.stat("append").modified().unwrap();
    let file = File::options()
        .write(true)
        .open(lab().outer(source.join("append")));
    file.unwrap().set_modified(time).unwrap();
    scene.take_mount().unmount().unwrap();
    scene.volume.set("features.cloudsync", "off").unwrap();
    let stock = scene.volume.mount(&MountOptions::default()).unwrap();
    let to = format!("{}/", stock.inside().display());
    let from = source.join("append").display().to_string();
    let ran = lab().run("rsync", ["--inplace", "-t", &from, &to]);
    ran.unwrap().check().unwrap();
    stock.unmount().unwrap();
    scene.volume.set("features.cloudsync", "on").unwrap();
    scene.put_mount(scene.volume.mount(&MountOptions::default()).unwrap());
    for _ in 0..2 {
        assert_same(&scene.read("append").unwrap(), &pattern(9, SIZE), "append");
        scene.remount();
    }
    fs::remove_dir_all(lab().outer(&source)).unwrap();
}

/// The content is a prefix of the object, as after a killed recall. The file may keep it or become the whole object, but
/// nothing else.
#[test]
fn a_prefix_of_the_object_reads_as_itself_or_the_whole() {
    let mut scene = cold("off-beginning");
    scene.take_mount().unmount().unwrap();
    scene.volume.set("features.cloudsync", "off").unwrap();
    let stock = scene.volume.mount(&MountOptions::default()).unwrap();
    let path = stock.path().join("append");
    stock
        .within(PATIENCE, "write", move || fs::write(path, &old()[..4096]))
        .unwrap();
    stock.unmount().unwrap();
    scene.volume.set("features.cloudsync", "on").unwrap();
    scene.put_mount(scene.volume.mount(&MountOptions::default()).unwrap());
    let read = scene.read("append").unwrap();
    if read.len() != 4096 {
        assert_same(&read, &old(), "append");
    }
    assert_same(&read[..4096], &old()[..4096], "append");
    scene.remount();
    assert_same(&scene.read("append").unwrap(), &read, "after a remount");
}
