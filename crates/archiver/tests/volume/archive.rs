// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests of `archive` on bricks and mounts.

use std::fs::File;
use std::io::Read;

use cloudsync_lab::{Layout, until};

use crate::scene::{ARCHIVE, PATIENCE, Scene, lab, number, pattern};

fn archive<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ARCHIVE.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn archived_brick_reads_back() {
    let mut scene = Scene::new("brick");
    let files = [
        ("small", 100),
        ("dir/middle", 700_000),
        ("dir/deep/big", 40_000_000),
        ("one", 1),
    ];
    for (seed, (name, size)) in files.into_iter().enumerate() {
        scene.write(name, &pattern(seed as u64, size));
    }
    scene.write("empty", b"");
    let brick = scene.brick(0);
    let output = scene.done(&archive(&[&brick]));
    assert_eq!(number(&output, "archived"), 4, "{output}");
    for (name, _) in files {
        assert!(scene.is_cold(name), "{name}");
    }
    // The second run has nothing to do, and uploads nothing.
    let output = scene.done(&archive(&[&brick]));
    assert_eq!(
        (number(&output, "archived"), number(&output, "already_cold")),
        (0, 4),
        "{output}"
    );
    assert_eq!(scene.bucket.list("").unwrap().len(), 4);
    scene.remount();
    for (seed, (name, size)) in files.into_iter().enumerate() {
        assert!(scene.recall(name) == pattern(seed as u64, size), "{name}");
    }
    // A file that was recalled and not modified is truncated without an upload.
    scene.write("one", b"2");
    let mount = scene.inside("");
    let output = scene.done(&archive(&[&mount]));
    assert_eq!(
        (number(&output, "archived"), number(&output, "uploaded")),
        (4, 1),
        "{output}"
    );
    scene.remount();
    for (seed, (name, size)) in files.into_iter().enumerate().take(3) {
        assert!(scene.read(name) == pattern(seed as u64, size), "{name}");
    }
    assert_eq!(scene.read("one"), b"2");
}

#[test]
fn dispersed_volume_is_archived_by_file_not_by_fragment() {
    let layout = Layout::Disperse {
        bricks: 3,
        redundancy: 1,
    };
    let mut scene = Scene::on("disperse", layout, &[]);
    scene.write("large", &pattern(1, 300_000));
    scene.write("small", &pattern(2, 9000));
    // A fragment of `large` has half of its bytes.
    let brick = scene.brick(1);
    // The bricks may need a moment to close the written files, which count as open until then.
    let output = until(PATIENCE, "the end of the writes", || {
        let output = scene.done(&archive(&["--larger-than=200K", &brick]));
        (number(&output, "in_use") == 0).then_some(output)
    })
    .unwrap();
    assert_eq!(
        (number(&output, "archived"), number(&output, "bytes")),
        (1, 300_000),
        "{output}"
    );
    assert!(scene.is_cold("large") && !scene.is_cold("small"));
    scene.remount();
    assert!(scene.read("large") == pattern(1, 300_000));
}

#[test]
fn open_recent_and_sharded_files_are_skipped() {
    let settings = [
        ("features.shard", "on"),
        ("features.shard-block-size", "4MB"),
    ];
    let scene = Scene::on("left", Layout::Single, &settings);
    for (name, size) in [
        ("open", 100),
        ("young", 100),
        ("shards", 9_000_000),
        ("plain", 100),
    ] {
        scene.write(name, &pattern(1, size));
    }
    let path = scene.path("open");
    let held = scene.within("open", move || {
        let mut file = File::options().read(true).write(true).open(path).unwrap();
        file.read_exact(&mut [0]).unwrap();
        file
    });
    let brick = scene.brick(0);
    let output = scene.done(&["archive", "--older-than=1h", "--json", &brick]);
    assert_eq!(
        (number(&output, "archived"), number(&output, "too_fresh")),
        (0, 4),
        "{output}"
    );
    let output = scene.done(&archive(&["--exclude=young", &brick]));
    let counts = ["archived", "in_use", "not_selected", "other"].map(|name| number(&output, name));
    assert_eq!(counts, [1, 1, 1, 1], "{output}");
    drop(held);
    assert!(scene.is_cold("plain"));
    assert!(scene.read("shards") == pattern(1, 9_000_000));
}

#[test]
fn path_keys_never_overwrite_another_files_object() {
    let mut scene = Scene::new("by-path");
    scene.write("dir/a", &pattern(1, 1000));
    scene.write("dir/b", &pattern(2, 1000));
    let brick = scene.brick(0);
    let by_path = archive(&["--key-layout=path", &brick]);
    scene.bucket.put("dir/b", &pattern(3, 1000)).unwrap();
    let output = scene.cloudsync(&by_path);
    assert_eq!(output.code(), Some(1), "{output}");
    assert!(
        output
            .text()
            .contains("dir/b: the store already has another object"),
        "{output}"
    );
    assert!(scene.is_cold("dir/a") && !scene.is_cold("dir/b"));
    assert!(scene.bucket.get("dir/b").unwrap() == pattern(3, 1000));
    scene.remount();
    // The recalled file has an object of its own. The modified file's object is an older version and is not
    // overwritten.
    assert!(scene.recall("dir/a") == pattern(1, 1000));
    scene.bucket.delete("dir/b").unwrap();
    let output = scene.done(&by_path);
    assert_eq!(
        (number(&output, "archived"), number(&output, "uploaded")),
        (2, 1),
        "{output}"
    );
    scene.write("dir/a", b"new");
    let output = scene.cloudsync(&by_path);
    assert!(
        output
            .text()
            .contains("dir/a: the store already has an older version of this file"),
        "{output}"
    );
    assert_eq!(scene.read("dir/a"), b"new");
}

#[test]
fn directory_can_be_the_store() {
    let mut scene = Scene::new("folder");
    let folder = lab().scratch("folder-store").display().to_string();
    lab().sh(&format!("mkdir -m 700 {folder}")).unwrap();
    let settings = [
        ("features.cloudsync-storetype", "directory"),
        ("features.cloudsync-store-id", &format!("path={folder}")),
    ];
    scene.volume.set_all(&settings).unwrap();
    scene.remount();
    scene.write("dir/file", &pattern(1, 3_000_000));
    let brick = scene.brick(0);
    let output = scene.done(&archive(&[&brick]));
    assert_eq!(number(&output, "archived"), 1, "{output}");
    assert!(scene.is_cold("dir/file"));
    scene.done(&["verify", "--deep", &brick]);
    scene.remount();
    assert!(scene.recall("dir/file") == pattern(1, 3_000_000));
    let output = scene.done(&archive(&[&brick]));
    assert_eq!(
        (number(&output, "archived"), number(&output, "uploaded")),
        (1, 0),
        "{output}"
    );
}

/// Law 7: the headers of requests have signatures, tokens and a customer's key.
#[test]
fn the_most_verbose_log_shows_no_request() {
    let scene = Scene::new("verbose");
    scene.write("file", b"bytes");
    let outcome = scene.cloudsync(&["-vvv", "archive", "--older-than=0s", &scene.brick(0)]);
    assert!(outcome.success(), "{outcome}");
    let log = outcome.to_string();
    assert!(log.contains("TRACE"), "{log}");
    for word in ["Signature=", "authorization", "x-amz-content-sha256"] {
        assert!(!log.contains(word), "{word}: {log}");
    }
}
