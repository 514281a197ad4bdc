// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! No room: a quota that a recall runs into. (A brick that is full: `failures`.)

use std::fs;
use std::io::Write;
use std::thread;
use std::time::Duration;

use cloudsync_lab::{Backing, Layout};

use crate::scene::{Scene, assert_same, lab, pattern};

/// Root's operations of clients are not held up by quota: a file that was there before is read, whatever the limit.
#[test]
fn a_recall_is_not_refused_by_a_quota_that_refuses_writes() {
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
    scene.await_plain("dir/file");
    // It is at work: who writes more is refused, once the daemon has counted.
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
    let refused = refused.expect("the quota refuses nothing: the test proves nothing");
    assert_eq!(refused.raw_os_error(), Some(libc::EDQUOT));
    eprintln!("| a recall over quota | bytes; a write there: {refused} |");
    scene.assert_idle();
    quota(&["disable"]);
}
