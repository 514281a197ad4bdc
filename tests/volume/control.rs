// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Commands and queries about a file, and operations that need none of its bytes.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use cloudsync_lab::{Backing, until};

use crate::gate::{BURST, Gate};
use crate::scene::{PATIENCE, Scene, assert_same, errno, lab, pattern};

const STATE: &str = "glusterfs.cloudsync.state";
const DETAILS: &str = "glusterfs.cloudsync.details";

pub(crate) fn state(scene: &Scene, name: &str) -> String {
    let path = scene.path(name);
    let value = scene
        .within("query the state", move || xattr::get(path, STATE))
        .unwrap();
    String::from_utf8(value.unwrap()).unwrap()
}

pub(crate) fn command(scene: &Scene, name: &str, what: &str) -> std::io::Result<()> {
    let (path, what) = (scene.path(name), format!("glusterfs.cloudsync.{what}"));
    scene.within("command", move || xattr::set(path, what, b"1"))
}

#[test]
fn the_state_can_be_queried_and_a_recall_started() {
    let mut scene = Scene::new("state");
    let bytes = pattern(1, 24 << 20);
    scene.write("dir/file", &bytes);
    assert_eq!(state(&scene, "dir/file"), "local");
    scene.archive("dir/file");
    scene.remount();
    assert_eq!(
        state(&scene, "dir/file"),
        format!("cold size={} key=dir/file", bytes.len())
    );
    let inside = scene.inside("dir/file");
    let nobody = format!(
        "setpriv --reuid 65534 --regid 65534 --clear-groups \
         getfattr --only-values -n {STATE} {inside} 2>/dev/null"
    );
    assert_eq!(
        lab().sh(&nobody).unwrap(),
        "cold",
        "key and size are only for root"
    );
    command(&scene, "dir/file", "recall").unwrap();
    let started = Instant::now();
    let mut seen = Vec::new();
    while state(&scene, "dir/file") != "local" {
        seen.push(state(&scene, "dir/file"));
        assert!(started.elapsed() < PATIENCE, "{seen:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
    // It becomes local before the last mark is removed.
    until(PATIENCE, "the end of the recall", || {
        scene.is_local_now("dir/file").then_some(())
    })
    .unwrap();
    assert_same(&scene.read("dir/file").unwrap(), &bytes, "file");
    // For programs there is more.
    let path = scene.path("dir/file");
    let details = xattr::get(path, DETAILS).unwrap().unwrap();
    let details = String::from_utf8(details).unwrap();
    let archived = details.strip_prefix("local archived=");
    assert!(
        archived.is_some_and(|seconds| seconds.parse::<u64>().is_ok()),
        "{details}"
    );
    let nobody = nobody.replace(STATE, DETAILS) + "; echo refused";
    assert_eq!(lab().sh(&nobody).unwrap(), "refused\n");
    let dir = scene.path("dir");
    assert!(xattr::get(dir, STATE).is_err(), "a directory has no state");
}

#[test]
fn a_recall_can_be_cancelled() {
    let mut scene = Scene::new("cancel");
    let slowly = ("features.cloudsync-product-id", "rate=20M,reads=checked");
    scene.volume.set(slowly.0, slowly.1).unwrap();
    let bytes = pattern(2, 60 << 20);
    scene.write("file", &bytes);
    scene.archive("file");
    scene.remount();
    assert_eq!(
        errno(command(&scene, "file", "cancel")),
        libc::ENODATA,
        "nothing to cancel"
    );
    // O_DIRECT: through the page cache, the kernel would retry and start another recall.
    let path = scene.path("file");
    let reader = std::thread::spawn(move || {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECT)
            .open(path)?;
        file.read_at(&mut vec![0; 4096], 0)
    });
    let started = Instant::now();
    while !state(&scene, "file").starts_with("recalling") {
        assert!(started.elapsed() < PATIENCE, "the recall does not start");
    }
    command(&scene, "file", "cancel").unwrap();
    assert_eq!(errno(reader.join().unwrap()), libc::ECANCELED);
    assert!(scene.is_cold("file"));
    assert_same(&scene.read("file").unwrap(), &bytes, "read later");
}

/// The kernel holds the inode's lock while a write waits, and setting an attribute needs that lock.
#[test]
fn a_recall_that_a_write_waits_for_can_be_cancelled() {
    let gate = Gate::new();
    let settings = [("features.s3plugin-hostname", gate.url())];
    let mut scene = Scene::with("cancel-write", &settings, Backing::Ram);
    let bytes = pattern(2, 2 * BURST);
    scene.write("held/file", &bytes);
    scene.archive("held/file");
    scene.remount();
    gate.hold();
    let path = scene.path("held/file");
    let writer = std::thread::spawn(move || {
        let file = OpenOptions::new().write(true).open(path)?;
        file.write_all_at(&[7; 4096], 4096)?;
        // write-behind has accepted the write; the fsync waits, and holds the lock, too.
        file.sync_all()
    });
    until(PATIENCE, "the recall", || {
        let text = state(&scene, "held/file");
        text.starts_with("recalling").then_some(())
    })
    .unwrap();
    let path = scene.path("held/file");
    let answer = scene.within("cancel", move || {
        xattr::get(path, "glusterfs.cloudsync.cancel")
    });
    assert_eq!(answer.unwrap().unwrap(), b"cancelled");
    let written = scene.within("the writer", move || writer.join().unwrap());
    assert_eq!(errno(written), libc::ECANCELED);
    gate.open();
    // As after any failed write, this client's kernel still caches what it could not write.
    scene.remount();
    assert_same(&scene.read("held/file").unwrap(), &bytes, "file");
}

/// Truncating to zero fetches nothing: the object may even be missing.
#[test]
fn truncating_to_zero_needs_no_object() {
    let mut scene = Scene::new("cut-all");
    for name in ["o-trunc", "truncate", "ftruncate"] {
        scene.write(name, &pattern(3, 100_000));
        scene.archive(name);
        scene.bucket.delete(name).unwrap();
    }
    scene.remount();
    let paths = ["o-trunc", "truncate", "ftruncate"].map(|name| scene.path(name));
    scene.within("truncate", move || {
        fs::write(&paths[0], b"new").unwrap();
        let truncated = std::process::Command::new("truncate")
            .args(["-s", "0"])
            .arg(&paths[1])
            .status();
        assert!(truncated.unwrap().success());
        OpenOptions::new()
            .write(true)
            .open(&paths[2])
            .unwrap()
            .set_len(0)
            .unwrap();
    });
    scene.remount();
    assert_eq!(scene.read("o-trunc").unwrap(), b"new");
    for name in ["truncate", "ftruncate"] {
        assert_eq!(scene.read(name).unwrap(), b"", "{name}");
        scene.await_local(name);
    }
}

#[test]
fn truncating_a_cold_file_needs_write_permission() {
    let mut scene = Scene::new("not-allowed");
    scene.write("file", &pattern(4, 50_000));
    scene.archive("file");
    scene.remount();
    let inside = scene.inside("file");
    let nobody = format!(
        "chmod 644 {inside}; setpriv --reuid 65534 --regid 65534 --clear-groups \
         truncate -s 0 {inside} 2>/dev/null && echo done || echo refused"
    );
    assert_eq!(lab().sh(&nobody).unwrap().trim(), "refused");
    assert!(scene.is_cold("file"));
    assert_same(&scene.read("file").unwrap(), &pattern(4, 50_000), "file");
}
