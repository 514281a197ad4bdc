// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `archive` on bricks and mounts.

use crate::scene::{Scene, number, pattern};

const NOW: [&str; 3] = ["archive", "--older-than=0s", "--json"];

fn archive<'a>(more: &[&'a str]) -> Vec<&'a str> {
    NOW.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn a_brick_is_archived_and_everything_reads_back() {
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
    let said = scene.done(&archive(&[&brick]));
    assert_eq!(number(&said, "archived"), 4, "{said}");
    for (name, _) in files {
        assert!(scene.is_cold(name), "{name}");
    }
    // Nothing is left to do, and nothing is uploaded again.
    let said = scene.done(&archive(&[&brick]));
    assert_eq!(
        (number(&said, "archived"), number(&said, "already_cold")),
        (0, 4),
        "{said}"
    );
    assert_eq!(scene.bucket.list("").unwrap().len(), 4);
    scene.remount();
    for (seed, (name, size)) in files.into_iter().enumerate() {
        assert!(scene.read(name) == pattern(seed as u64, size), "{name}");
    }
    // Recalled and not modified: cut again without an upload.
    scene.write("one", b"2");
    let mount = scene.inside("");
    let said = scene.done(&archive(&[&mount]));
    assert_eq!(
        (number(&said, "archived"), number(&said, "uploaded")),
        (4, 1),
        "{said}"
    );
    scene.remount();
    for (seed, (name, size)) in files.into_iter().enumerate().take(3) {
        assert!(scene.read(name) == pattern(seed as u64, size), "{name}");
    }
    assert_eq!(scene.read("one"), b"2");
}
