// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What goes wrong at the store: the reader gets an errno, the file stays cold, nobody else notices.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::thread;

use cloudsync_lab::Backing;

use crate::scene::{PATIENCE, Scene, assert_same, errno, pattern};

#[test]
fn a_missing_object_fails_its_reader_and_no_neighbour() {
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
    assert!(scene.is_cold("lost"), "it stays cold");
    let log = scene.await_log("not recalled, it stays cold");
    assert!(log.contains("/lost"), "the log names the file");
    // The same object again: the file reads.
    scene.bucket.put("lost", &pattern(1, 50_000)).unwrap();
    assert_same(&scene.read("lost").unwrap(), &pattern(1, 50_000), "lost");
    scene.assert_idle();
}

#[test]
fn a_short_or_long_object_is_not_the_file() {
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
        assert!(scene.is_cold(name), "{name} stays cold");
    }
    scene.assert_idle();
}

/// The seed's keys are paths: a new file at an old name overwrites the old file's object.
#[test]
fn another_file_s_object_of_the_same_size_is_refused() {
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
fn no_permission_says_so() {
    let mut scene = Scene::new("forbidden");
    scene.write("file", &pattern(5, 10_000));
    scene.archive("file");
    let stranger = crate::scene::lab().s3().unwrap().stranger();
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
        "the log holds the secret key"
    );
}

#[test]
fn the_store_goes_and_comes_back() {
    // Its own store would cost seconds; these tests share one, so it is unplugged by its address.
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
    // Back, without a remount.
    scene
        .volume
        .set("features.s3plugin-hostname", &url)
        .unwrap();
    let path = scene.path("one");
    let bytes = scene.within("read until the new address is known", move || {
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

/// The bricks' own times move when bytes are written or cut.
#[test]
fn a_failed_recall_does_not_move_the_mtime() {
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
    scene.write("filler", &pattern(8, 40 << 20));
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

/// Writes the first byte of the file again, for which it must be local.
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
fn a_full_brick_fails_the_writer_and_not_the_reader_and_the_file_stays_cold() {
    let mut scene = Scene::with("full", &[], Backing::Sized(48 << 20));
    let bytes = pattern(7, 20 << 20);
    scene.write("file", &bytes);
    scene.archive("file");
    scene.write("filler", &pattern(8, 30 << 20));
    scene.remount();
    assert_same(&scene.read("file").unwrap(), &bytes, "there is no room");
    assert_eq!(errno(touch(&scene, "file")), libc::ENOSPC);
    assert!(scene.is_cold("file"), "what was written is cut again");
    scene.remount();
    assert_same(&scene.read("file").unwrap(), &bytes, "after the failure");
    scene.assert_idle();
    assert!(scene.is_cold("file"));
    let filler = scene.path("filler");
    scene
        .within("remove", move || fs::remove_file(filler))
        .unwrap();
    touch(&scene, "file").unwrap();
    scene.await_plain("file");
    assert_same(&scene.read("file").unwrap(), &bytes, "file");
}
