// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Store failures: the read gets an errno, the file stays cold, and nothing else is affected.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::thread;

use cloudsync_lab::Backing;

use crate::scene::{PATIENCE, Scene, assert_same, errno, fill, pattern};

#[test]
fn a_missing_object_fails_only_reads_of_its_file() {
    let mut scene = Scene::new("missing");
    for name in ["lost", "fine", "local"] {
        scene.write(name, &pattern(1, 50_000));
    }
    scene.archive("lost");
    scene.archive("fine");
    scene.bucket.delete("lost").unwrap();
    scene.remount();
    assert_eq!(errno(scene.read("lost")), libc::ENODATA);
    assert_same(&scene.read("fine").unwrap(), &pattern(1, 50_000), "fine");
    assert_same(&scene.read("local").unwrap(), &pattern(1, 50_000), "local");
    assert!(scene.is_cold("lost"), "the file must stay cold");
    let log = scene.await_log("recall failed, the file stays cold");
    assert!(log.contains("/lost"), "the log must name the file");
    // With the object restored, the file can be read.
    scene.bucket.put("lost", &pattern(1, 50_000)).unwrap();
    assert_same(&scene.read("lost").unwrap(), &pattern(1, 50_000), "lost");
    scene.assert_idle();
}

#[test]
fn an_object_of_the_wrong_size_is_refused() {
    let mut scene = Scene::new("short");
    for (name, length) in [("short", 99_999), ("long", 100_001)] {
        scene.write(name, &pattern(2, 100_000));
        scene.archive(name);
        scene.bucket.put(name, &pattern(2, length)).unwrap();
    }
    scene.remount();
    for name in ["short", "long"] {
        let error = errno(scene.read(name));
        assert!(
            [libc::EBADMSG, libc::ESTALE].contains(&error),
            "{name}: {error}"
        );
        assert!(scene.is_cold(name), "{name} must stay cold");
    }
    scene.assert_idle();
}

/// Keys of stock scripts are paths: a new file under an old name overwrites the old file's object.
#[test]
fn an_object_of_another_file_of_the_same_size_is_refused() {
    let mut scene = Scene::new("other");
    scene.write("name", &pattern(3, 70_000));
    scene.archive("name");
    let (from, to) = (scene.path("name"), scene.path("moved"));
    scene
        .within("rename", move || fs::rename(from, to))
        .unwrap();
    scene.write("name", &pattern(4, 70_000));
    scene.archive("name");
    scene.remount();
    assert_eq!(errno(scene.read("moved")), libc::ESTALE);
    assert!(scene.is_cold("moved"));
    assert_same(
        &scene.read("name").unwrap(),
        &pattern(4, 70_000),
        "the new file",
    );
}

#[test]
fn store_permission_errors_are_reported() {
    let mut scene = Scene::new("forbidden");
    scene.write("file", &pattern(5, 10_000));
    scene.archive("file");
    let stranger = crate::scene::lab().s3().unwrap().user_without_rights();
    let settings = [
        ("features.s3plugin-keyid", &*stranger.key),
        ("features.s3plugin-seckey", &*stranger.secret),
    ];
    scene.volume.set_all(&settings).unwrap();
    scene.remount();
    assert_eq!(errno(scene.read("file")), libc::EACCES);
    scene
        .volume
        .set_all(&[("features.s3plugin-seckey", "wrong")])
        .unwrap();
    scene.remount();
    assert_eq!(errno(scene.read("file")), libc::EKEYREJECTED);
    assert!(scene.is_cold("file"));
    let log = scene.mount().log();
    assert!(
        !log.contains(&stranger.secret),
        "the log contains the secret key"
    );
}

#[test]
fn files_read_again_once_the_store_is_back() {
    // Starting another store would take seconds, so the shared one is made unreachable by changing its address.
    let mut scene = Scene::new("unplugged");
    for name in ["one", "two"] {
        scene.write(name, &pattern(6, 400_000));
        scene.archive(name);
    }
    let url = crate::scene::lab().s3().unwrap().http_url();
    scene
        .volume
        .set(
            "features.cloudsync-store-id",
            "retries=2,connect-timeout=1s",
        )
        .unwrap();
    scene
        .volume
        .set("features.s3plugin-hostname", "http://10.99.0.1:1")
        .unwrap();
    scene.remount();
    assert_eq!(errno(scene.read("one")), libc::EHOSTUNREACH);
    assert!(scene.is_cold("one"));
    scene.write("local", b"local files work");
    assert_eq!(scene.read("local").unwrap(), b"local files work");
    // It becomes reachable again, without a remount.
    scene
        .volume
        .set("features.s3plugin-hostname", &url)
        .unwrap();
    let path = scene.path("one");
    let bytes = scene.within("read until the new address is in use", move || {
        let end = std::time::Instant::now() + PATIENCE / 2;
        loop {
            match fs::read(&path) {
                Err(_) if std::time::Instant::now() < end => {
                    thread::sleep(std::time::Duration::from_millis(100))
                }
                result => break result,
            }
        }
    });
    assert_same(&bytes.unwrap(), &pattern(6, 400_000), "one");
    assert_same(&scene.read("two").unwrap(), &pattern(6, 400_000), "two");
    scene.assert_idle();
}

/// The bricks' own times change when bytes are written or truncated.
#[test]
fn a_failed_recall_does_not_change_the_mtime() {
    let mut scene = Scene::with(
        "times",
        &[("features.ctime", "off")],
        Backing::Sized(48 << 20),
    );
    for name in ["too-big", "lost"] {
        scene.write(name, &pattern(9, 16 << 20));
        scene.archive(name);
    }
    scene.bucket.delete("lost").unwrap();
    fill(scene.mount(), 40 << 20);
    let times = |scene: &Scene| {
        ["too-big", "lost"].map(|name| (scene.stat(name).mtime(), scene.stat(name).mtime_nsec()))
    };
    let before = times(&scene);
    scene.remount();
    assert_eq!(errno(touch(&scene, "too-big")), libc::ENOSPC);
    assert_eq!(errno(scene.read("lost")), libc::ENODATA);
    scene.remount();
    assert_eq!(times(&scene), before);
}

/// Rewrites the first byte of the file, which must be local for that.
fn touch(scene: &Scene, name: &str) -> std::io::Result<()> {
    let path = scene.path(name);
    scene.within("write", move || {
        let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, 0)?;
        file.write_all_at(&byte, 0)?;
        file.sync_all()
    })
}

#[test]
fn a_full_brick_fails_writes_but_not_reads_of_a_cold_file() {
    let mut scene = Scene::with("full", &[], Backing::Sized(48 << 20));
    let bytes = pattern(7, 20 << 20);
    scene.write("file", &bytes);
    scene.archive("file");
    fill(scene.mount(), 30 << 20);
    scene.remount();
    assert_same(&scene.read("file").unwrap(), &bytes, "on a full brick");
    assert_eq!(errno(touch(&scene, "file")), libc::ENOSPC);
    assert!(
        scene.is_cold("file"),
        "what was written must be truncated again"
    );
    scene.remount();
    assert_same(&scene.read("file").unwrap(), &bytes, "after the failure");
    scene.assert_idle();
    assert!(scene.is_cold("file"));
    let filler = scene.path("filler");
    scene
        .within("remove", move || fs::remove_file(filler))
        .unwrap();
    touch(&scene, "file").unwrap();
    scene.await_local("file");
    assert_same(&scene.read("file").unwrap(), &bytes, "file");
}
