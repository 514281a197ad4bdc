// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Two clients of one volume, and clients that die.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{io, thread};

use cloudsync_lab::MountOptions;

use crate::gate::Gate;
use crate::meanwhile::{await_first_bytes, held, old};
use crate::scene::{PATIENCE, Scene, assert_same, pattern};

/// A client that believes the file to be local reads it after another client archived it.
#[test]
fn a_stale_client_reads_the_bytes() {
    let scene = Scene::new("old-view");
    let other = scene.volume.mount(&MountOptions::default()).unwrap();
    for round in 0..5 {
        let name = format!("file-{round}");
        let bytes = pattern(round, 30_000);
        scene.write(&name, &bytes);
        let path = other.path().join(&name);
        let seen = {
            let path = path.clone();
            other.within(PATIENCE, "read", move || fs::read(path))
        };
        assert_same(&seen.unwrap(), &bytes, "local");
        let held = File::open(&path).unwrap();
        scene.archive(&name);
        let (again, from_held) = other.within(PATIENCE, "read again", move || {
            let mut held = held;
            let mut bytes = Vec::new();
            let from_held = io::Read::read_to_end(&mut held, &mut bytes).map(|_| bytes);
            (fs::read(path), from_held)
        });
        assert_same(&again.unwrap(), &bytes, "by name");
        assert_same(&from_held.unwrap(), &bytes, "through the open descriptor");
    }
}

#[test]
fn a_stale_client_does_not_write_to_a_truncated_file() {
    let mut scene = Scene::new("old-writer");
    let other = scene.volume.mount(&MountOptions::default()).unwrap();
    scene.write("file", &pattern(1, 30_000));
    let path = other.path().join("file");
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    scene.archive("file");
    other
        .within(PATIENCE, "write", move || {
            file.write_all_at(b"late", 10_000)?;
            file.sync_all()
        })
        .unwrap();
    let mut want = pattern(1, 30_000);
    want[10_000..10_004].copy_from_slice(b"late");
    scene.remount();
    assert_same(&scene.read("file").unwrap(), &want, "file");
    scene.await_local("file");
}

/// B14 in docs/SEMANTICS.md: the bricks' replies have the attributes of the truncated file, and the kernel and md-cache
/// would cache them.
#[test]
fn metadata_changes_by_a_stale_client_show_the_true_size() {
    type Change = fn(&Path) -> PathBuf;
    let changes: [(&str, Change); 4] = [
        ("ln", |path| {
            let link = path.with_extension("link");
            fs::hard_link(path, &link).unwrap();
            link
        }),
        ("mv", |path| {
            let moved = path.with_extension("moved");
            fs::rename(path, &moved).unwrap();
            moved
        }),
        ("chmod", |path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
            path.to_owned()
        }),
        ("utimens and fsync", |path| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH)
                .unwrap();
            file.sync_all().unwrap();
            path.to_owned()
        }),
    ];
    let scene = Scene::new("old-names");
    let other = scene.volume.mount(&MountOptions::default()).unwrap();
    for (number, (what, change)) in changes.into_iter().enumerate() {
        let name = format!("file-{number}");
        let bytes = pattern(number as u64, 90_000);
        scene.write(&name, &bytes);
        let path = other.path().join(&name);
        assert_eq!(fs::metadata(&path).unwrap().len(), 90_000);
        scene.archive(&name);
        let (length, read) = other.within(PATIENCE, what, move || {
            let path = change(&path);
            (fs::metadata(&path).unwrap().len(), fs::read(path).unwrap())
        });
        assert_eq!(length, 90_000, "size after {what}");
        assert_same(&read, &bytes, what);
    }
}

#[test]
fn two_concurrent_clients_both_read_the_bytes() {
    two_clients_read_concurrently(&mut Scene::new("two"));
}

pub(crate) fn two_clients_read_concurrently(scene: &mut Scene) {
    let bytes = pattern(2, 16 << 20);
    scene.write("file", &bytes);
    scene.archive("file");
    scene.remount();
    let other = scene.volume.mount(&MountOptions::default()).unwrap();
    let paths = vec![scene.path("file"), other.path().join("file")];
    for got in scene.read_concurrently(paths) {
        assert_same(&got.unwrap(), &bytes, "file");
    }
    scene.await_local("file");
}

/// B1 in docs/SEMANTICS.md: a killed client leaves cs.remote, cs.downloading and some bytes.
#[test]
fn a_file_reads_after_a_kill_during_its_recall() {
    let mut scene = Scene::new("killed");
    let bytes = pattern(3, 48 << 20);
    let mut partly = 0;
    for round in 0..4 {
        let name = format!("file-{round}");
        scene.write(&name, &bytes);
        scene.archive(&name);
        scene.remount();
        let path = scene.path(&name);
        let reader = thread::spawn(move || fs::read(path));
        // Wait until the recall starts to write, and kill right then.
        let started = Instant::now();
        while fs::metadata(scene.brick(&name)).unwrap().blocks() == 0 {
            assert!(started.elapsed() < PATIENCE, "the recall does not start");
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(5 * round));
        scene.crash_and_remount();
        assert!(reader.join().unwrap().is_err() || scene.is_local(&name));
        partly += u32::from(!scene.is_local_now(&name));
        assert_same(&scene.read(&name).unwrap(), &bytes, &name);
        scene.await_local(&name);
    }
    assert!(
        partly > 0,
        "no kill hit a running recall: the test proves nothing"
    );
}

/// B2 in docs/SEMANTICS.md: a stock translator that dies near the end of a recall leaves cs.downloading without cs.remote.
#[test]
fn a_left_over_mark_is_removed() {
    let mut scene = Scene::new("mark");
    // Too large for quick-read, which would answer from the lookup.
    scene.write("file", &pattern(4, 200_000));
    xattr::set(
        scene.brick("file"),
        "trusted.glusterfs.cs.downloading",
        b"1",
    )
    .unwrap();
    scene.remount();
    assert_same(&scene.read("file").unwrap(), &pattern(4, 200_000), "file");
    scene.await_local("file");
}

/// The commit is one operation, but the brick removes the marks one by one; the bytes are on disk by then.
#[test]
fn a_file_reads_after_its_brick_died_during_a_commit() {
    let names = cloudsync_format::xattr::COMMIT.map(|name| name.to_str().unwrap());
    let mut scene = Scene::new("commit");
    let bytes = pattern(6, 200_000);
    // In the commit's order, and in the reverse order.
    let states = (0..=names.len()).flat_map(|removed| [&names[removed..], &names[..removed]]);
    let states: Vec<_> = states.enumerate().collect();
    for (number, left) in &states {
        let name = format!("file-{number}");
        scene.write(&name, &bytes);
        scene.archive(&name);
        let brick = scene.brick(&name);
        let file = File::options().write(true).open(&brick).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        xattr::set(&brick, names[0], b"1").unwrap();
        for removed in names.iter().filter(|name| !left.contains(name)) {
            xattr::remove(&brick, removed).unwrap();
        }
    }
    scene.remount();
    for (number, left) in &states {
        let name = format!("file-{number}");
        assert_eq!(scene.stat(&name).len(), 200_000, "with {left:?}");
        // If the commit was visibly incomplete, the lookup has had the other marks removed.
        let has = |mark: &str| left.contains(&format!("trusted.glusterfs.cs.{mark}").as_str());
        if has("remote") != has("object_size") {
            assert!(scene.is_local_now(&name), "with {left:?}");
        }
        assert_same(&scene.read(&name).unwrap(), &bytes, &name);
        scene.await_local(&name);
    }
}

/// B3 in docs/SEMANTICS.md: the stock translator never removes the size; ours may die before it does.
#[test]
fn a_left_over_size_is_never_shown() {
    let mut scene = Scene::new("size");
    scene.write("file", &pattern(5, 20_000));
    xattr::set(
        scene.brick("file"),
        "trusted.glusterfs.cs.object_size",
        b"12345",
    )
    .unwrap();
    scene.remount();
    assert_eq!(scene.stat("file").len(), 20_000);
    assert_same(&scene.read("file").unwrap(), &pattern(5, 20_000), "file");
    scene.await_local("file");
}

#[test]
fn a_file_reads_after_its_client_was_terminated_during_the_recall() {
    let gate = Gate::new();
    let (mut scene, names) = held("terminated", &gate, &["file"]);
    let path = scene.path(&names[0]);
    let reader = thread::spawn(move || fs::read(path));
    await_first_bytes(&scene, &names);
    // SIGTERM, as from umount or a shutdown.
    let pid = scene.mount().pid().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    // It may have got the bytes: the client ends once the read is answered.
    if let Ok(read) = reader.join().unwrap() {
        assert_same(&read, &old(), "file");
    }
    gate.open();
    scene.crash_and_remount();
    assert_same(&scene.read(&names[0]).unwrap(), &old(), "file");
    scene.await_local(&names[0]);
}
