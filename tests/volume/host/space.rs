// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Limited space: a quota, and the bricks' reserve. Bricks exempt our writes from both, so we enforce them ourselves.
//! (`failures` tests a full brick.)

use std::fs;
use std::io::Write;
use std::thread;
use std::time::Duration;

use cloudsync_lab::{Backing, Layout};

use crate::scene::{Scene, assert_same, lab, pattern};

#[test]
fn a_read_over_quota_succeeds_and_the_file_stays_cold() {
    let mut scene = Scene::on("host-quota", Layout::Single, &[], Backing::Ram);
    let large = pattern(1, 20 << 20);
    scene.write("dir/file", &large);
    scene.archive("dir/file");
    let volume = scene.volume.name().to_owned();
    let quota = |words: &[&str]| {
        let mut all = vec!["volume", "quota", &volume];
        all.extend(words);
        lab().gluster(all).unwrap();
    };
    quota(&["enable"]);
    quota(&["soft-timeout", "0"]);
    quota(&["hard-timeout", "0"]);
    quota(&["limit-usage", "/dir", "4MB"]);
    scene.remount();
    assert_same(&scene.read("dir/file").unwrap(), &large, "dir/file");
    scene.assert_idle();
    assert!(scene.is_cold("dir/file"));
    // The quota works: other writes are refused as soon as the daemon has counted.
    let path = scene.path("dir/more");
    let refused = scene.within("write over quota", move || {
        (0..60).find_map(|number| {
            let write =
                fs::File::create(path.with_extension(number.to_string())).and_then(|mut file| {
                    file.write_all(&pattern(2, 1 << 20))
                        .and_then(|()| file.sync_all())
                });
            thread::sleep(Duration::from_millis(100));
            write.err()
        })
    });
    let refused = refused.expect("the quota refused nothing: the test proves nothing");
    assert_eq!(refused.raw_os_error(), Some(libc::EDQUOT));
    eprintln!("| a recall over quota | bytes; a write there: {refused} |");
    // An option allows recalls over quota.
    scene
        .volume
        .set("features.cloudsync-product-id", "over-limits=recall")
        .unwrap();
    scene.remount();
    assert_same(&scene.read("dir/file").unwrap(), &large, "dir/file");
    scene.await_local("dir/file");
    scene.assert_idle();
    quota(&["disable"]);
}

/// 64 MiB, 20 % of them reserved.
#[test]
fn many_recalls_leave_the_reserve_and_keep_free_untouched() {
    const FILES: usize = 12;
    let settings = [
        ("storage.reserve", "20"),
        ("features.cloudsync-product-id", "keep-free=8M"),
    ];
    let mut scene = Scene::with("host-reserve", &settings, Backing::Sized(64 << 20));
    let names: Vec<_> = (0..FILES).map(|number| format!("file-{number}")).collect();
    for (name, seed) in names.iter().zip(0..) {
        scene.write(name, &pattern(seed, 5 << 20));
        scene.archive(name);
    }
    scene.remount();
    let paths: Vec<_> = names.iter().map(|name| scene.path(name)).collect();
    let read = scene.within("concurrent reads", move || {
        let readers: Vec<_> = paths
            .into_iter()
            .map(|path| thread::spawn(move || fs::read(path)))
            .collect();
        let read = readers.into_iter().map(|reader| reader.join().unwrap());
        read.collect::<Vec<_>>()
    });
    for (bytes, seed) in read.into_iter().zip(0..) {
        assert_same(&bytes.unwrap(), &pattern(seed, 5 << 20), "read");
    }
    scene.assert_idle();
    let back = names.iter().filter(|name| scene.is_local(name)).count();
    // 64 MiB minus 20 %, minus 8 MiB, minus what the brick itself needs.
    assert!((3..=8).contains(&back), "{back} of {FILES} were recalled");
    // Others can still write: the reserve is kept for them, too.
    scene.write("written", &pattern(99, 2 << 20));
}
