// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A sharded volume: our translator sees the first block of a file; the others are separate files below `.shard`.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use cloudsync_lab::{Backing, Layout};

use crate::scene::{Scene, assert_same, errno, pattern};

const BLOCK: usize = 4 << 20;

/// No concurrent writes: of several writes into a new block, GlusterFS 10.3 occasionally loses one, with and without
/// this feature (16 writers, 192 files of two blocks, feature off: two files with zeros). While one write creates the
/// block's file, another looks it up and assigns another gfid; then the brick's mknod fails with EEXIST ("setting gfid
/// on ... failed" in its log) and removes the file that the other write went to.
fn scene(name: &str) -> Scene {
    let settings = [
        ("features.shard", "on"),
        ("features.shard-block-size", "4MB"),
        ("performance.write-behind", "off"),
    ];
    Scene::on(name, Layout::Single, &settings, Backing::Ram)
}

/// Truncating the first block of a file whose object is the whole file would lose the block.
#[test]
fn archiving_a_file_of_several_blocks_is_refused() {
    let mut scene = scene("shards");
    let bytes = pattern(1, 2 * BLOCK + 13);
    scene.write("file", &bytes);
    scene.bucket.put("file", &bytes).unwrap();
    let refused = errno(scene.handshake("file"));
    assert_eq!(refused, libc::EOPNOTSUPP);
    scene.remount();
    assert_eq!(scene.stat("file").len(), bytes.len() as u64);
    assert_same(&scene.read("file").unwrap(), &bytes, "file");
    scene.await_local("file");
}

/// An object of the first block's size is not the whole file: a partial upload must not be accepted.
#[test]
fn an_object_of_the_first_block_alone_is_refused() {
    let mut scene = scene("first-block");
    let bytes = pattern(3, 2 * BLOCK + 13);
    scene.write("file", &bytes);
    scene.bucket.put("file", &bytes[..BLOCK]).unwrap();
    let refused = scene.handshake("file");
    scene.remount();
    assert_same(&scene.read("file").unwrap(), &bytes, "file");
    assert_eq!(errno(refused), libc::EOPNOTSUPP);
    scene.await_local("file");
}

/// A file that grows after it was archived has a cold first block and further local blocks.
#[test]
fn a_cold_file_of_one_block_can_grow_beyond_it() {
    let mut scene = scene("grow");
    let mut want = pattern(2, BLOCK);
    for name in ["file", "hole"] {
        scene.write(name, &want);
        scene.archive(name);
    }
    scene.remount();
    let paths = ["file", "hole"].map(|name| scene.path(name));
    scene.within("write beyond the block", move || {
        for (path, offset) in paths.iter().zip([BLOCK, BLOCK + 8192]) {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.write_all_at(b"BEYOND", offset as u64).unwrap();
            file.sync_all().unwrap();
        }
    });
    scene.remount();
    want.extend_from_slice(b"BEYOND");
    assert_eq!(scene.stat("file").len(), want.len() as u64);
    assert_same(&scene.read("file").unwrap(), &want, "file");
    want.truncate(BLOCK);
    want.resize(BLOCK + 8192, 0);
    want.extend_from_slice(b"BEYOND");
    assert_same(&scene.read("hole").unwrap(), &want, "hole");
    scene.assert_idle();
}
