// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests that `status` and `kept` report bytes that no recall wrote.

use std::fs;

use crate::scene::{Scene, number, pattern};

#[test]
fn foreign_bytes_are_reported_and_their_object_kept() {
    let mut scene = Scene::new("kept");
    for name in ["dir/f", "dir/g"] {
        scene.write(name, &pattern(1, 5000));
    }
    let brick = scene.brick(0);
    scene.done(&["archive", "--older-than=0s", &brick]);
    let at = scene.volume.bricks()[0].join("dir/f");
    let key = xattr::get(&at, "trusted.glusterfs.cs.key")
        .unwrap()
        .unwrap();
    let key = String::from_utf8(key).unwrap();
    // Written while the feature was off.
    fs::write(&at, b"somebody's bytes").unwrap();
    scene.remount();
    assert_eq!(scene.read("dir/f"), b"somebody's bytes");
    let (f, dir) = (scene.inside("dir/f"), scene.inside("dir"));
    let output = scene.done(&["status", &f]);
    assert!(
        output.contains("f: local, ")
            && output.contains("bytes that no recall wrote were found in it"),
        "{output}"
    );
    assert!(
        output.contains(&format!("object {key}, 4.88 KiB")),
        "{output}"
    );
    for target in [&brick, &scene.inside("")] {
        let output = scene.done(&["status", "--summary", "--json", target]);
        assert_eq!(number(&output, "kept_files"), 1, "{output}");
    }
    // Neither gc nor a recall removes the record.
    scene.done(&["gc", "--grace=0s", "--delete", &brick]);
    assert_eq!(scene.bucket.list("").unwrap().len(), 2);
    let output = scene.done(&["kept", "--recursive", "--json", &dir]);
    assert!(
        number(&output, "files") == 1 && output.contains(&key),
        "{output}"
    );
    let output = scene.done(&["kept", "--drop", "--json", &f]);
    assert_eq!(number(&output, "dropped"), 1, "{output}");
    let output = scene.done(&["kept", "--json", &f]);
    assert_eq!(number(&output, "files"), 0, "{output}");
    scene.done(&["gc", "--grace=0s", "--delete", &brick]);
    assert_eq!(scene.bucket.list("").unwrap().len(), 1);
    assert_eq!(scene.read("dir/f"), b"somebody's bytes");
    assert!(scene.read("dir/g") == pattern(1, 5000));
}
