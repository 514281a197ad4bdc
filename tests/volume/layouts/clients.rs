// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Clients that die in mid-recall, and two clients of one file, on every layout.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::{MountOptions, until};

use crate::scene::{PATIENCE, Scene, assert_same, errno, pattern};

/// Waits until a recall has begun to write, and not a moment longer.
pub(super) fn await_first_byte(scene: &Scene, name: &str) {
    let copies = scene.copies(name);
    let begun = Instant::now();
    while copies
        .iter()
        .all(|path| fs::metadata(path).unwrap().blocks() == 0)
    {
        assert!(begun.elapsed() < PATIENCE, "the recall does not begin");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Archives a file and kills the client that recalls it. Returns whether that was before the recall's end.
fn kill_in_mid_recall(scene: &mut Scene, name: &str, bytes: &[u8], after: Duration) -> bool {
    scene.write(name, bytes);
    scene.archive(name);
    scene.remount();
    let path = scene.path(name);
    let reader = thread::spawn(move || fs::read(path));
    await_first_byte(scene, name);
    thread::sleep(after);
    scene.crash_and_remount();
    let ended = reader.join().unwrap();
    // It may have read everything before all of it was on the bricks.
    if let Ok(read) = ended {
        assert_same(&read, bytes, name);
    }
    !scene.is_plain_now(name)
}

pub(super) fn a_killed_client_leaves_a_file_that_reads(mut scene: Scene) {
    let bytes = pattern(2, 48 << 20);
    let mut partly = 0;
    for round in 0..3 {
        let name = format!("file-{round}");
        let after = Duration::from_millis(10 * round);
        partly += u32::from(kill_in_mid_recall(&mut scene, &name, &bytes, after));
        assert_eq!(scene.stat(&name).len(), bytes.len() as u64, "{name}");
        assert_same(&scene.read(&name).unwrap(), &bytes, &name);
        scene.await_plain(&name);
        // What was acknowledged must not hang on what the client still has to do.
        scene.crash_and_remount();
        assert_same(&scene.read(&name).unwrap(), &bytes, &name);
    }
    assert!(
        partly > 0,
        "no kill came in the middle of a recall: the test proves nothing"
    );
    scene.assert_idle();
}

/// With nothing to compare it with, it is neither cut nor shown: the file must not pass for local.
pub(super) fn what_a_killed_client_left_is_not_the_file_while_its_object_is_gone(mut scene: Scene) {
    let bytes = pattern(2, 48 << 20);
    let names = ["one", "two", "three"];
    let partly = |name: &&str| kill_in_mid_recall(&mut scene, name, &bytes, Duration::ZERO);
    let name = names
        .into_iter()
        .find(partly)
        .expect("no kill came in the middle of a recall");
    scene.bucket.delete(name).unwrap();
    assert_eq!(errno(scene.read(name)), libc::ENODATA);
    scene.assert_idle();
    assert!(!scene.is_plain_now(name), "a part passes for the file");
    assert_eq!(scene.stat(name).len(), bytes.len() as u64);
    scene.bucket.put(name, &bytes).unwrap();
    assert_same(&scene.read(name).unwrap(), &bytes, name);
    scene.await_plain(name);
}

/// An erasure-coded volume gives a file up for good whose fragments are of different lengths.
pub(super) fn no_write_of_a_recall_makes_the_file_longer(mut scene: Scene) {
    let bytes = pattern(5, 48 << 20);
    scene.write("file", &bytes);
    let copies = scene.copies("file");
    let lengths = || -> Vec<u64> {
        let length = |path| fs::metadata(path).unwrap().len();
        copies.iter().map(length).collect()
    };
    let whole = lengths();
    scene.archive("file");
    scene.remount();
    let path = scene.path("file");
    let reader = thread::spawn(move || fs::read(path));
    let mut seen = 0;
    while !reader.is_finished() {
        let now = lengths();
        let either = now
            .iter()
            .zip(&whole)
            .all(|(now, whole)| now == whole || *now == 0);
        assert!(either, "{now:?} of {whole:?}");
        seen += u32::from(now == whole);
    }
    assert_same(&reader.join().unwrap().unwrap(), &bytes, "file");
    assert!(seen > 0, "nobody looked during the recall");
}

pub(super) fn two_clients_read_at_once(mut scene: Scene) {
    crate::clients::two_clients_read_at_once(&mut scene);
    scene.assert_idle();
}

/// It knows the file as local: the bricks must refuse it, and not disagree because of that.
pub(super) fn a_writer_with_an_old_view_is_refused_by_every_brick(mut scene: Scene) {
    let mut want = pattern(4, 300_000);
    scene.write("file", &want);
    let other = scene.volume.mount(&MountOptions::default()).unwrap();
    let path = other.path().join("file");
    let file = other.within(PATIENCE, "open", move || {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        file.read_exact_at(&mut [0; 10], 0).unwrap();
        file
    });
    scene.archive("file");
    let write = move || {
        file.write_all_at(b"late", 10_000)?;
        file.sync_all()
    };
    other.within(PATIENCE, "write", write).unwrap();
    want[10_000..10_004].copy_from_slice(b"late");
    scene.remount();
    assert_same(&scene.read("file").unwrap(), &want, "file");
    scene.await_plain("file");
    await_nothing_pending(&scene, "file");
}

/// Waits until no brick says that something is pending for another. Clients say so a second after a write.
fn await_nothing_pending(scene: &Scene, name: &str) {
    let mut last = None;
    let settled = until(PATIENCE, "the bricks", || {
        last = scene.copies(name).iter().find_map(|copy| pending(copy));
        last.is_none().then_some(())
    });
    assert!(settled.is_ok(), "{name}: {last:?}");
}

/// What a copy says of itself or of another: that a change is not, or may not be, everywhere.
pub(super) fn pending(copy: &Path) -> Option<String> {
    let names = xattr::list(copy)
        .unwrap()
        .map(|name| name.to_string_lossy().into_owned());
    let mut tell =
        names.filter(|name| name.starts_with("trusted.afr.") || name == "trusted.ec.dirty");
    tell.find_map(|name| {
        let value = xattr::get(copy, &name).unwrap().unwrap_or_default();
        let is_pending = value.iter().any(|byte| *byte != 0);
        is_pending.then(|| format!("{}: {name} is {value:?}", copy.display()))
    })
}

/// Nobody finds it by name any more, but an empty answer is looked at again, and so is a file before its client's first
/// write.
pub(super) fn a_removed_file_that_is_open_reads_and_writes(mut scene: Scene) {
    scene.remount();
    let path = scene.path("file");
    let (got, end) = scene.within("a removed file", move || {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        fs::remove_file(path).unwrap();
        let mut got = [0; 5];
        let end = file
            .read_at(&mut got, 0)
            .map(|got| assert_eq!(got, 0))
            .and_then(|()| file.write_all_at(b"bytes", 10_000))
            .and_then(|()| file.sync_all())
            .and_then(|()| file.read_exact_at(&mut got, 10_000));
        (got, end)
    });
    end.unwrap();
    assert_eq!(&got, b"bytes");
}
