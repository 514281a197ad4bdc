// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests of the commands for archived files: recall, status, cancel, verify, gc, rebuild.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use cloudsync_format::object::Key;
use cloudsync_lab::{Backing, Layout};

use crate::scene::{PATIENCE, Scene, archive, lab, number, pattern};
use crate::store::relay_to_store;

fn archived(scene: &Scene, files: u64) {
    let output = scene.done(&archive(&scene.brick(0)));
    assert_eq!(number(&output, "archived"), files, "{output}");
}

/// With the feature off, the mount has no translator that could tell which files are cold.
#[test]
fn mount_without_translator_is_reported() {
    let mut scene = Scene::new("without");
    scene.write("file", &pattern(1, 1000));
    scene.volume.set("features.cloudsync", "off").unwrap();
    scene.remount();
    let mount = scene.inside("");
    for args in [
        &["status", "--summary", &mount][..],
        &["recall", "--recursive", "--wait", &mount],
        &["status", &scene.inside("file")],
    ] {
        let outcome = scene.cloudsync(args);
        assert_eq!(outcome.code(), Some(1), "{outcome}");
        let printed = outcome.to_string();
        assert!(
            printed.contains("not in a mount with the translator"),
            "{printed}"
        );
    }
}

#[test]
fn recall_and_status_report_each_file() {
    let scene = Scene::new("recall");
    for (name, size) in [("a", 1000), ("dir/b", 2_000_000), ("dir/c", 10)] {
        scene.write(name, &pattern(1, size));
    }
    archived(&scene, 3);
    let (a, dir) = (scene.inside("a"), scene.inside("dir"));
    let output = scene.done(&["status", &a]);
    assert!(
        output.contains(": cold, 1000 B, modified ") && output.contains(", object "),
        "{output}"
    );
    let output = scene.done(&["status", "--summary", "--json", &scene.inside("")]);
    assert_eq!(
        (number(&output, "cold_files"), number(&output, "cold_bytes")),
        (3, 2_001_010)
    );
    let output = scene.cloudsync(&["recall", "--wait", "--json", &dir]);
    assert_eq!(
        (output.code(), number(&output.text(), "failed")),
        (Some(1), 1),
        "{output}"
    );
    let output = scene.done(&["recall", "--wait", "--recursive", "--json", &dir]);
    assert_eq!(number(&output, "recalled"), 2, "{output}");
    assert!(!scene.is_cold("dir/b") && !scene.is_cold("dir/c") && scene.is_cold("a"));
    let output = scene.done(&["status", "--summary", "--json", &scene.brick(0)]);
    assert_eq!(
        (
            number(&output, "cold_files"),
            number(&output, "local_files")
        ),
        (1, 2)
    );
    // No recall is running, so there is nothing to cancel.
    let output = scene.cloudsync(&["cancel", &a]);
    assert_eq!(output.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("not recalling"),
        "{output}"
    );
}

/// A write or truncate that waits for a recall holds the inode's lock in the kernel.
#[test]
fn recall_awaited_by_truncate_can_be_cancelled() {
    let mut scene = Scene::new("cancel");
    scene.write("f", &pattern(1, 3_000_000));
    archived(&scene, 1);
    let (send, reached) = mpsc::channel();
    let stopped = Arc::new(AtomicBool::new(true));
    let (send, stop) = (Mutex::new(send), Arc::clone(&stopped));
    let (_, hostname) = relay_to_store(move |bytes| {
        if bytes.starts_with(b"GET ") {
            let _ = send.lock().unwrap().send(());
            while stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
            }
        }
    });
    let direct = lab().s3().unwrap().http_url();
    scene
        .volume
        .set("features.s3plugin-hostname", &hostname)
        .unwrap();
    scene.remount();
    let path = scene.path("f");
    let truncate = thread::spawn(move || {
        let file = fs::File::options().write(true).open(path)?;
        file.set_len(1000)
    });
    reached.recv_timeout(PATIENCE).unwrap();
    thread::sleep(Duration::from_millis(300));
    let inside = scene.inside("f");
    let output = scene.cloudsync(&["cancel", &inside]);
    stopped.store(false, Ordering::Relaxed);
    assert!(output.success() && output.took < PATIENCE / 2, "{output}");
    assert!(output.text().contains("cancelled "), "{output}");
    let ended = scene
        .within("the truncate", move || truncate.join())
        .unwrap();
    let cancelled = rustix::io::Errno::CANCELED.raw_os_error();
    assert_eq!(ended.unwrap_err().raw_os_error(), Some(cancelled));
    scene
        .volume
        .set("features.s3plugin-hostname", &direct)
        .unwrap();
    scene.remount();
    assert!(scene.read("f") == pattern(1, 3_000_000));
}

#[test]
fn failed_recall_names_the_missing_object() {
    let scene = Scene::new("fails");
    scene.write("file", &pattern(1, 1000));
    archived(&scene, 1);
    scene
        .bucket
        .delete(&scene.bucket.list("").unwrap()[0])
        .unwrap();
    let output = scene.cloudsync(&["recall", "--wait", &scene.inside("file")]);
    assert_eq!(output.code(), Some(1));
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.contains("file: its object is not in the store"),
        "{output}"
    );
}

#[test]
fn verify_finds_missing_and_wrong_objects() {
    let scene = Scene::new("verify");
    for name in ["good", "missing", "swapped", "rotten"] {
        scene.write(name, &pattern(name.len() as u64, 5000));
    }
    archived(&scene, 4);
    let brick = scene.brick(0);
    let output = scene.done(&["verify", "--deep", "--json", &brick]);
    assert_eq!(
        (number(&output, "checked"), number(&output, "wrong")),
        (4, 0),
        "{output}"
    );
    let key = |name: &str| {
        let at = scene.volume.bricks()[0].join(name);
        let key = xattr::get(at, "trusted.glusterfs.cs.key").unwrap().unwrap();
        String::from_utf8(key).unwrap()
    };
    scene.bucket.delete(&key("missing")).unwrap();
    scene
        .bucket
        .put(&key("swapped"), &pattern(9, 5000))
        .unwrap();
    scene.bucket.put(&key("rotten"), b"short").unwrap();
    for target in [brick, scene.inside("")] {
        let output = scene.cloudsync(&["verify", "--json", &target]);
        let text = output.text();
        assert_eq!(output.code(), Some(1), "{output}");
        assert_eq!(
            (number(&text, "missing"), number(&text, "wrong")),
            (1, 2),
            "{text}"
        );
    }
}

#[test]
fn gc_deletes_only_unreferenced_objects() {
    let scene = Scene::new("gc");
    for name in ["cold", "removed", "modified", "recalled"] {
        scene.write(name, &pattern(name.len() as u64, 5000));
    }
    archived(&scene, 4);
    scene.bucket.put("somebody's/own/object", b"x").unwrap();
    let paths = ["removed", "modified", "recalled"].map(|name| scene.path(name));
    scene.within("change", move || {
        let [removed, modified, recalled] = paths;
        fs::remove_file(removed).unwrap();
        fs::write(modified, b"new").unwrap();
        fs::read(recalled).unwrap();
    });
    let brick = scene.brick(0);
    let gc = |more: &[&str]| {
        let args: Vec<_> = ["gc", "--json"]
            .iter()
            .chain(more)
            .copied()
            .chain([brick.as_str()])
            .collect();
        scene.done(&args)
    };
    let output = gc(&[]);
    assert_eq!(
        (number(&output, "young"), number(&output, "unreferenced")),
        (4, 0),
        "{output}"
    );
    let output = gc(&["--grace=0s"]);
    assert_eq!(
        (number(&output, "unreferenced"), number(&output, "deleted")),
        (2, 0),
        "{output}"
    );
    assert_eq!(scene.bucket.list("").unwrap().len(), 5);
    let output = gc(&["--grace=0s", "--delete"]);
    assert_eq!(
        (number(&output, "unreferenced"), number(&output, "deleted")),
        (2, 2),
        "{output}"
    );
    assert_eq!(scene.bucket.list("").unwrap().len(), 3);
    // The recalled file's object was kept, so it is truncated without an upload. The modified file is uploaded.
    let output = scene.done(&archive(&brick));
    assert_eq!(
        (number(&output, "archived"), number(&output, "uploaded")),
        (2, 1),
        "{output}"
    );
    assert!(scene.read("cold") == pattern(4, 5000));
    assert_eq!(scene.read("modified"), b"new");
}

#[test]
fn gc_deletes_nothing_while_brick_is_down() {
    let scene = Scene::on("gc-down", Layout::Distribute(2), &[]);
    for n in 0..8 {
        scene.write(&format!("file{n}"), &pattern(n, 100));
    }
    for brick in 0..2 {
        scene.done(&["archive", "--older-than=0s", &scene.brick(brick)]);
    }
    assert_eq!(scene.bucket.list("").unwrap().len(), 8);
    scene.volume.kill_brick(1).unwrap();
    let output = scene.cloudsync(&["gc", "--grace=0s", "--delete", &scene.brick(0)]);
    assert_ne!(output.code(), Some(0), "{output}");
    assert_eq!(scene.bucket.list("").unwrap().len(), 8);
}

#[test]
fn lost_volume_is_rebuilt_from_the_bucket() {
    let old = Scene::new("lost");
    let names = ["plain", "dir/sub/a b\n%41", "dir/\u{fc}\u{4e2d}", "big"];
    for (seed, name) in names.iter().enumerate() {
        old.write(name, &pattern(seed as u64, 1000 * (seed + 1)));
    }
    let path = old.path("plain");
    old.within("attributes", move || {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::chown(&path, Some(1234), Some(5678)).unwrap();
        symlink("plain", path.with_file_name("link")).unwrap();
    });
    archived(&old, 4);
    // Archived twice: the latest version counts.
    old.write("big", &pattern(77, 9_000_000));
    archived(&old, 1);
    let keys = old.bucket.list("").unwrap();
    let id = Key::parse(&keys[0]).unwrap().volume.to_owned();
    let stat = |scene: &Scene| {
        let path = scene.path("plain");
        let data = scene.within("stat", move || fs::metadata(path)).unwrap();
        (
            data.mode(),
            data.uid(),
            data.gid(),
            data.mtime(),
            data.mtime_nsec(),
            data.len(),
        )
    };
    let before = stat(&old);
    let bucket = old.bucket.clone();
    drop(old);
    let volume = lab()
        .volume("rebuilt", Layout::Single, Backing::Ram)
        .unwrap();
    let mut new = Scene::of(volume, bucket, &[]);
    let mount = new.inside("");
    let from = format!("--from={id}");
    let output = new.done(&["rebuild", "--dry-run", "--json", &from, &mount]);
    assert_eq!(
        (number(&output, "created"), number(&output, "objects")),
        (4, 5),
        "{output}"
    );
    assert!(!new.path("plain").exists());
    let output = new.done(&["rebuild", "--json", &from, &mount]);
    assert_eq!(
        (number(&output, "created"), number(&output, "failed")),
        (4, 0),
        "{output}"
    );
    let output = new.done(&["rebuild", "--json", &from, &mount]);
    assert_eq!(
        (number(&output, "created"), number(&output, "there_already")),
        (0, 4),
        "{output}"
    );
    assert!(names.iter().all(|name| new.is_cold(name)));
    assert_eq!(stat(&new), before);
    new.remount();
    for (seed, name) in names.iter().enumerate().take(3) {
        assert!(
            new.read(name) == pattern(seed as u64, 1000 * (seed + 1)),
            "{name}"
        );
    }
    assert!(new.read("big") == pattern(77, 9_000_000));
    assert!(!new.path(".cloudsync-rebuild").exists());
    assert!(new.mount().alive(), "{:?}", Duration::ZERO);
}
