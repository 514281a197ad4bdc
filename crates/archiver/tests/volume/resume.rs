// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests that a `verify` that was cut off goes on where it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cloudsync_lab::until;

use crate::scene::{PATIENCE, Scene, archive, number, pattern};
use crate::store::relay_to_store;

const FOLDERS: u64 = 6;
const FILES: u64 = 10;

#[test]
fn a_verify_that_was_cut_off_goes_on_where_it_was() {
    let mut scene = Scene::new("cut-off");
    for n in 0..FOLDERS * FILES {
        scene.write(&format!("top/{}/f{n}", n % FOLDERS), &pattern(n, 2000));
    }
    scene.remount();
    let brick = scene.brick(0);
    scene.done(&archive(&brick));
    // In the folder that is checked first, whichever that is, one object is missing.
    let keys = scene.bucket.list("").unwrap();
    assert_eq!(keys.len() as u64, FOLDERS * FILES);
    for folder in 0..FOLDERS {
        let marks = scene.volume.bricks()[0].join(format!("top/{folder}/f{folder}"));
        let key = xattr::get(marks, "trusted.glusterfs.cs.key")
            .unwrap()
            .unwrap();
        if folder % 2 == 0 {
            scene
                .bucket
                .delete(std::str::from_utf8(&key).unwrap())
                .unwrap();
        }
    }
    let fetched = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&fetched);
    let (relay, hostname) = relay_to_store(move |bytes| {
        counter.fetch_add(u64::from(bytes.starts_with(b"GET ")), Ordering::Relaxed);
    });
    let hostname = format!("--hostname={hostname}");
    let store = ["--store-id=retries=0,connect-timeout=1s", &hostname];
    let slowly = [
        "verify",
        "--deep",
        "--jobs=1",
        "--bytes-per-second=40000",
        &brick,
    ];
    let mut run = scene.start(&[&slowly[..], &store].concat());
    // The store goes away when at least two folders are done.
    until(PATIENCE, "enough of them", || {
        (fetched.load(Ordering::Relaxed) > 3 * FILES).then_some(())
    })
    .unwrap();
    relay.reset();
    assert_eq!(run.wait().unwrap().code(), Some(4));
    relay.open();
    let missing = FOLDERS / 2;
    // It says nothing of another store.
    let other = ["verify", "--deep", "--resume", "--json", &brick];
    assert_eq!(number(&scene.cloudsync(&other).text(), "before"), 0);
    let resumed = [
        &["verify", "--deep", "--resume", "--json", &brick][..],
        &store,
    ]
    .concat();
    let outcome = scene.cloudsync(&resumed);
    let output = outcome.text();
    let [before, checked] = ["before", "checked"].map(|key| number(&output, key));
    // Folders with something missing are looked at again, and those that are good are not.
    assert!(before >= 1, "{output}");
    assert_eq!(number(&output, "missing"), missing, "{output}");
    assert!(checked < FOLDERS * FILES, "{output}");
    assert!(checked >= missing * FILES, "{output}");
    // That was the end of it: the next one begins anew.
    let output = scene.cloudsync(&resumed).text();
    let [before, checked] = ["before", "checked"].map(|key| number(&output, key));
    assert_eq!((before, checked), (0, FOLDERS * FILES), "{output}");
}
