// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reading a cold file.

use std::fs;
use std::os::unix::fs::MetadataExt;

use cloudsync_lab::Backing;

use crate::scene::{Scene, assert_same, pattern};

#[test]
fn a_cold_file_reads_after_a_remount_with_default_options() {
    let mut scene = Scene::new("read");
    let bytes = pattern(1, 300_000);
    scene.write("file", &bytes);
    scene.archive("file");
    scene.remount();
    assert_same(&scene.read("file").unwrap(), &bytes, "file");
    scene.await_local("file");
    assert_same(
        &fs::read(scene.brick("file")).unwrap(),
        &bytes,
        "the brick's file",
    );
    scene.assert_idle();
}

#[test]
fn a_cold_file_reads_through_the_mount_that_archived_it() {
    let scene = Scene::new("same");
    let bytes = pattern(2, 200_000);
    scene.write("file", &bytes);
    scene.archive("file");
    assert_same(&scene.read("file").unwrap(), &bytes, "file");
}

/// quick-read answers reads of small files from the lookup; sizes around a page and GlusterFS's usual buffer, and larger.
#[test]
fn files_of_every_size_are_recalled() {
    let mut scene = Scene::new("sizes");
    let sizes = [
        0,
        1,
        4095,
        4096,
        4097,
        65_536,
        131_072,
        131_073,
        1_048_576,
        64 << 20,
    ];
    for size in sizes {
        scene.write(&format!("file-{size}"), &pattern(size as u64, size));
        scene.archive(&format!("file-{size}"));
    }
    scene.remount();
    for size in sizes {
        let name = format!("file-{size}");
        assert_eq!(scene.stat(&name).len(), size as u64, "{name}");
        assert_same(
            &scene.read(&name).unwrap(),
            &pattern(size as u64, size),
            &name,
        );
        assert_eq!(scene.stat(&name).len(), size as u64, "{name}");
        // A read of an empty file needs no bytes, so it is not recalled.
        if size > 0 {
            scene.await_local(&name);
        }
    }
    scene.assert_idle();
}

#[test]
fn sixteen_cold_files_are_recalled_concurrently() {
    let mut scene = Scene::new("sixteen");
    for number in 0..16 {
        let name = format!("file-{number}");
        scene.write(&name, &pattern(number, 2_000_000));
        scene.archive(&name);
    }
    scene.remount();
    let paths: Vec<_> = (0..16)
        .map(|number| scene.path(&format!("file-{number}")))
        .collect();
    let read = scene.read_concurrently(paths);
    for (number, bytes) in read.into_iter().enumerate() {
        assert_same(
            &bytes.unwrap(),
            &pattern(number as u64, 2_000_000),
            &format!("file-{number}"),
        );
    }
    scene.assert_idle();
}

#[test]
fn sixteen_readers_of_one_cold_file_recall_it_once() {
    let mut scene = Scene::new("one");
    let bytes = pattern(3, 8 << 20);
    scene.write("file", &bytes);
    scene.archive("file");
    scene.remount();
    let read = scene.read_concurrently(vec![scene.path("file"); 16]);
    for got in read {
        assert_same(&got.unwrap(), &bytes, "file");
    }
    let private = scene.mount().meta(&scene.private()).unwrap();
    assert!(private.contains("files-recalled = 1\n"), "{private}");
}

#[test]
fn unusual_file_names_work() {
    let mut scene = Scene::new("names");
    let long = format!(
        "{}/{}/{}",
        "d".repeat(200),
        "e".repeat(200),
        "f".repeat(198)
    );
    let names = [
        "a name with spaces",
        "100%",
        "a%20b",
        "plus+and&and=",
        "what?",
        "#hash",
        "Gr\u{fc}\u{df}e/\u{65e5}\u{672c}\u{8a9e}",
        "quote'\"back\\slash",
        "star*[x]{y}",
        "dir/sub/.hidden",
        &long,
    ];
    for (number, name) in names.iter().enumerate() {
        scene.write(name, &pattern(number as u64, 5000));
        scene.archive(name);
    }
    scene.remount();
    for (number, name) in names.iter().enumerate() {
        assert_same(
            &scene.read(name).unwrap(),
            &pattern(number as u64, 5000),
            name,
        );
    }
}

fn check_times(name: &str, settings: &[(&str, &str)]) {
    let mut scene = Scene::with(name, settings, Backing::Ram);
    scene.write("file", &pattern(4, 150_000));
    let path = scene.path("file");
    scene
        .within("utime", move || {
            let then = std::time::UNIX_EPOCH + std::time::Duration::new(1_600_000_000, 123_456_789);
            fs::File::open(path)?
                .set_times(fs::FileTimes::new().set_modified(then).set_accessed(then))
        })
        .unwrap();
    let before = scene.stat("file");
    scene.archive("file");
    scene.remount();
    let cold = scene.stat("file");
    let modified = |data: &fs::Metadata| (data.mtime(), data.mtime_nsec());
    assert_eq!(modified(&cold), modified(&before), "mtime of the cold file");
    assert_same(&scene.read("file").unwrap(), &pattern(4, 150_000), "file");
    scene.remount();
    assert_eq!(
        modified(&scene.stat("file")),
        modified(&before),
        "mtime after the recall"
    );
    if settings.is_empty() {
        let changed = |data: &fs::Metadata| (data.ctime(), data.ctime_nsec());
        assert_eq!(
            changed(&scene.stat("file")),
            changed(&cold),
            "ctime after the recall"
        );
    }
}

#[test]
fn mtime_and_ctime_are_kept_with_features_ctime() {
    check_times("ctime-on", &[]);
}

#[test]
fn mtime_is_kept_without_features_ctime() {
    check_times("ctime-off", &[("features.ctime", "off")]);
}

/// `tar --sparse` and `cp` take a file without blocks for a hole.
#[test]
fn a_cold_file_shows_its_size_and_one_block() {
    let mut scene = Scene::new("blocks");
    scene.write("dir/file", &pattern(5, 100_000));
    scene.archive("dir/file");
    scene.remount();
    let listed = {
        let dir = scene.path("dir");
        scene.within("readdir", move || {
            fs::read_dir(dir)
                .unwrap()
                .map(|entry| entry.unwrap().metadata().unwrap().len())
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(listed, [100_000]);
    let data = scene.stat("dir/file");
    assert_eq!((data.len(), data.blocks()), (100_000, 1));
    assert!(scene.is_cold("dir/file"), "stat must not recall");
}
