// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Clients that die during a recall, and two clients of one file, on every layout.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::{MountOptions, until};

use crate::scene::{PATIENCE, Scene, assert_same, errno, pattern};

/// Waits until a recall starts to write, and returns right then.
pub(super) fn await_first_byte(scene: &Scene, name: &str) {
    let copies = scene.copies(name);
    let started = Instant::now();
    while copies
        .iter()
        .all(|path| fs::metadata(path).unwrap().blocks() == 0)
    {
        assert!(started.elapsed() < PATIENCE, "the recall does not start");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Archives a file and kills the client that recalls it. Returns whether that was before the end of the recall.
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
    !scene.is_local_now(name)
}

pub(super) fn a_file_reads_after_its_client_is_killed(mut scene: Scene) {
    let bytes = pattern(2, 48 << 20);
    let mut partly = 0;
    for round in 0..3 {
        let name = format!("file-{round}");
        let after = Duration::from_millis(10 * round);
        partly += u32::from(kill_in_mid_recall(&mut scene, &name, &bytes, after));
        assert_eq!(scene.stat(&name).len(), bytes.len() as u64, "{name}");
        assert_same(&scene.read(&name).unwrap(), &bytes, &name);
        scene.await_local(&name);
        // Acknowledged data must not depend on work that the client has yet to do.
        scene.crash_and_remount();
        assert_same(&scene.read(&name).unwrap(), &bytes, &name);
    }
    assert!(
        partly > 0,
        "no kill hit a running recall: the test proves nothing"
    );
    scene.assert_idle();
}

/// Without an object to compare it with, the partial file is neither truncated nor shown: it must not pass for local.
pub(super) fn a_partial_recall_is_unreadable_without_its_object(mut scene: Scene) {
    let bytes = pattern(2, 48 << 20);
    let names = ["one", "two", "three"];
    let partly = |name: &&str| kill_in_mid_recall(&mut scene, name, &bytes, Duration::ZERO);
    let name = names
        .into_iter()
        .find(partly)
        .expect("no kill hit a running recall");
    scene.bucket.delete(name).unwrap();
    assert_eq!(errno(scene.read(name)), libc::ENODATA);
    scene.assert_idle();
    assert!(
        !scene.is_local_now(name),
        "a partial file is shown as local"
    );
    assert_eq!(scene.stat(name).len(), bytes.len() as u64);
    scene.bucket.put(name, &bytes).unwrap();
    assert_same(&scene.read(name).unwrap(), &bytes, name);
    scene.await_local(name);
}

/// A dispersed volume cannot repair a file whose fragments differ in length.
pub(super) fn recall_writes_do_not_extend_the_file(mut scene: Scene) {
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
    assert!(seen > 0, "no check happened during the recall");
}

pub(super) fn two_clients_read_concurrently(mut scene: Scene) {
    crate::clients::two_clients_read_concurrently(&mut scene);
    scene.assert_idle();
}

/// The client believes that the file is local: every brick must refuse its write, and the bricks must stay consistent.
pub(super) fn a_stale_write_is_refused_by_every_brick(mut scene: Scene) {
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
    scene.await_local("file");
    await_nothing_pending(&scene, "file");
}

/// Waits until no brick records a pending change. Clients clear these records a second after a write.
fn await_nothing_pending(scene: &Scene, name: &str) {
    let mut last = None;
    let settled = until(PATIENCE, "the bricks", || {
        last = scene.copies(name).iter().find_map(|copy| pending(copy));
        last.is_none().then_some(())
    });
    assert!(settled.is_ok(), "{name}: {last:?}");
}

/// A record on a copy that a change has not reached, or may not have reached, every copy.
pub(super) fn pending(copy: &Path) -> Option<String> {
    let names = xattr::list(copy)
        .unwrap()
        .map(|name| name.to_string_lossy().into_owned());
    let mut records =
        names.filter(|name| name.starts_with("trusted.afr.") || name == "trusted.ec.dirty");
    records.find_map(|name| {
        let value = xattr::get(copy, &name).unwrap().unwrap_or_default();
        let is_pending = value.iter().any(|byte| *byte != 0);
        is_pending.then(|| format!("{}: {name} is {value:?}", copy.display()))
    })
}

/// It can no longer be found by name, but an empty reply to a read makes the client check the file again, and so does
/// its first write.
pub(super) fn an_unlinked_open_file_can_be_read_and_written(mut scene: Scene) {
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
