// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests that run on every layout of a volume: cold files must behave the same however their bytes are spread.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use cloudsync_lab::{Backing, Layout};

use crate::scene::{Scene, assert_same, pattern};
use crate::stubs::remote_reads_are_right_whatever_happens;
use crate::trust::reads_are_right_whatever_happens;

mod append;
mod clients;
mod down;
mod race;
mod shard;

use clients::*;

pub(crate) const REPLICA: Layout = Layout::Replica(3);
const DISTRIBUTE: Layout = Layout::Distribute(4);
pub(crate) const DISPERSE: Layout = Layout::Disperse {
    bricks: 3,
    redundancy: 1,
};

/// Instantiates for a layout the tests of this file and of `clients` that hold on every layout, and `more`.
macro_rules! on_layout {
    ($name:ident, $layout:expr, $settings:expr, $($more:ident)*) => {
        on_layout!(@ $name, $layout, $settings,
            cold_files_read_back
            changes_keep_the_other_bytes
            metadata_changes_recall_nothing
            an_unlinked_open_file_can_be_read_and_written
            two_clients_read_concurrently
            a_stale_write_is_refused_by_every_brick
            $($more)*
        );
    };
    (@ $name:ident, $layout:expr, $settings:expr, $($test:ident)*) => {
        mod $name {
            use crate::layouts::*;
            $(#[test]
            fn $test() {
                let scene = Scene::on(stringify!($name), $layout, $settings, Backing::Ram);
                crate::layouts::$test(scene);
            })*
        }
    };
}

on_layout!(replica, REPLICA, &[],
    reads_are_right_whatever_happens remote_reads_are_right_whatever_happens
    a_file_reads_after_its_client_is_killed a_partial_recall_is_unreadable_without_its_object);
on_layout!(distribute, DISTRIBUTE, &[],
    reads_are_right_whatever_happens
    a_file_reads_after_its_client_is_killed a_partial_recall_is_unreadable_without_its_object);
on_layout!(disperse, DISPERSE, &[],
    recall_writes_do_not_extend_the_file
    a_file_reads_after_its_client_is_killed a_partial_recall_is_unreadable_without_its_object);
on_layout!(sharded, Layout::Single, &[("features.shard", "on")],
    reads_are_right_whatever_happens remote_reads_are_right_whatever_happens
    a_file_reads_after_its_client_is_killed a_partial_recall_is_unreadable_without_its_object);

/// One byte, more than a page, more than GlusterFS's usual buffer, and many of those.
const SIZES: [usize; 4] = [1, 4097, 131_073, (8 << 20) + 13];

fn mtime(data: &fs::Metadata) -> (i64, i64) {
    (data.mtime(), data.mtime_nsec())
}

fn cold_files_read_back(mut scene: Scene) {
    let name = |size: usize| format!("dir/file-{size}");
    let bytes = |size: usize| pattern(size as u64, size);
    let then = UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
    for size in SIZES {
        scene.write(&name(size), &bytes(size));
        let path = scene.path(&name(size));
        let touch = move || File::options().write(true).open(path)?.set_modified(then);
        scene.within("utime", touch).unwrap();
    }
    // On a sharded volume, the client that sets an mtime keeps showing the old one.
    scene.remount();
    for size in SIZES {
        scene.archive(&name(size));
    }
    scene.remount();
    let sharded = scene.volume.info().unwrap().contains("features.shard: on");
    let dir = scene.path("dir");
    let mut listed = scene.within("readdir", move || {
        let sizes = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len());
        sizes.collect::<Vec<_>>()
    });
    listed.sort_unstable();
    assert_eq!(listed, SIZES.map(|size| size as u64), "readdir");
    for size in SIZES {
        let name = name(size);
        let cold = scene.stat(&name);
        assert_eq!(cold.len(), size as u64, "{name}");
        // The shard translator, above ours, counts blocks itself.
        assert!(
            cold.blocks() == 1 || sharded && cold.blocks() > 1,
            "{name}: {}",
            cold.blocks()
        );
        assert!(scene.is_cold(&name), "stat of {name} must not recall it");
        assert_same(&scene.read(&name).unwrap(), &bytes(size), &name);
        scene.await_local(&name);
    }
    scene.assert_idle();
    // The client learns from reads of local files that the bricks check the state; no translator in between may drop that.
    scene.write("local", &pattern(1, 200_000));
    scene.remount();
    let path = scene.path("local");
    let read = move || {
        File::options()
            .read(true)
            .custom_flags(libc::O_DIRECT)
            .open(path)?
            .read(&mut [0; 5])
    };
    scene.within("read a local file", read).unwrap();
    let private = scene.mount().meta(&scene.private()).unwrap();
    assert!(
        private.contains("bricks-check-the-state = yes"),
        "{private}"
    );
    scene.remount();
    for size in SIZES {
        let name = name(size);
        let local = scene.stat(&name);
        assert_eq!(local.len(), size as u64, "{name}");
        assert!(
            local.blocks() * 512 >= size as u64,
            "{name}: {}",
            local.blocks()
        );
        assert_eq!(mtime(&local), (1_600_000_000, 123_456_789), "{name}");
        assert_same(&scene.read(&name).unwrap(), &bytes(size), &name);
    }
}

/// A file's name, a change, and the expected content.
type Change = (&'static str, Box<dyn FnOnce(&Path) + Send>, Vec<u8>);

fn changes_keep_the_other_bytes(mut scene: Scene) {
    const LENGTH: usize = 300_000;
    let was = pattern(1, LENGTH);
    let writable = |path: &Path| OpenOptions::new().write(true).open(path).unwrap();
    let mut changes: Vec<Change> = Vec::new();

    let mut want = was.clone();
    want[150_000..150_005].copy_from_slice(b"WRITE");
    let middle = move |path: &Path| writable(path).write_all_at(b"WRITE", 150_000).unwrap();
    changes.push(("middle", Box::new(middle), want));

    let append = |path: &Path| {
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"APPENDED").unwrap();
    };
    let want = [was.as_slice(), b"APPENDED"].concat();
    changes.push(("append", Box::new(append), want));

    let truncate = move |path: &Path| writable(path).set_len(100_001).unwrap();
    changes.push(("truncate", Box::new(truncate), was[..100_001].to_vec()));
    let empty = move |path: &Path| writable(path).set_len(0).unwrap();
    changes.push(("empty", Box::new(empty), Vec::new()));
    let grow = move |path: &Path| writable(path).set_len(400_000).unwrap();
    let mut want = was.clone();
    want.resize(400_000, 0);
    changes.push(("grow", Box::new(grow), want));
    let replace = |path: &Path| fs::write(path, b"new").unwrap();
    changes.push(("o-trunc", Box::new(replace), b"new".to_vec()));

    for (name, _, _) in &changes {
        scene.write(name, &was);
        scene.archive(name);
    }
    scene.remount();
    let mut wanted = Vec::new();
    for (name, change, want) in changes {
        let path = scene.path(name);
        scene.within(name, move || change(&path));
        assert_same(&scene.read(name).unwrap(), &want, name);
        wanted.push((name, want));
    }
    scene.remount();
    for (name, want) in wanted {
        scene.assert_has(name, &want);
        scene.await_local(name);
    }
    scene.assert_idle();
}

fn metadata_changes_recall_nothing(scene: Scene) {
    let scene = crate::change::metadata_changes_recall_nothing(scene, 300_000);
    assert_eq!(mtime(&scene.stat("moved")), (1_500_000_000, 0));
    scene.await_local("moved");
}
