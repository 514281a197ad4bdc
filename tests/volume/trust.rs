// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reads of local files that do not ask the bricks whether the file is cold, because the client trusts its label
//! (docs/design/local-reads.md).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use cloudsync_lab::{Backing, Mount, MountOptions, until};

use crate::gate::Gate;
use crate::layouts::{DISPERSE, REPLICA};
use crate::meanwhile::{LENGTH, hold, old};
use crate::scene::{PATIENCE, Scene, assert_same, pattern};

const NAME: &str = "held/file";
const MARK: &str = "trusted.glusterfs.cs.downloading";
const PIECE: usize = 4096;

/// A descriptor whose reads no cache answers.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_DIRECT).open(path)
}

fn last_piece(file: &File, length: usize) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; PIECE];
    file.read_exact_at(&mut piece, (length - PIECE) as u64)?;
    Ok(piece)
}

/// Opens the file and reads it until the client trusts its label.
fn open_trusting(mount: &Mount, name: &str, length: usize) -> Arc<File> {
    let path = mount.path().join(name);
    let opened = mount.within(PATIENCE, "the first reads", move || {
        let file = open(&path)?;
        for _ in 0..3 {
            last_piece(&file, length)?;
        }
        io::Result::Ok(file)
    });
    Arc::new(opened.unwrap())
}

fn read_last_piece(mount: &Mount, file: &Arc<File>, length: usize) -> Vec<u8> {
    let file = Arc::clone(file);
    let read = mount.within(PATIENCE, "a read", move || last_piece(&file, length));
    read.unwrap()
}

/// What the bricks do in a handshake of the stock translator: they change no times.
fn archive_as_stock(scene: &Scene, name: &str, length: usize) {
    scene.bucket.put(name, &scene.read(name).unwrap()).unwrap();
    for copy in scene.copies(name) {
        let set = |name: &str, value: &str| xattr::set(&copy, name, value.as_bytes()).unwrap();
        set("trusted.glusterfs.cs.object_size", &length.to_string());
        set("trusted.glusterfs.cs.remote", name);
        let stub = File::options().write(true).open(&copy).unwrap();
        stub.set_len(0).unwrap();
    }
}

/// A client trusts the label of a file, which is then archived. Another client's recall waits for the store: on the bricks the
/// file has its size again, but none of its bytes.
fn a_file_without_its_bytes_is_not_trusted(mut scene: Scene, archive: impl FnOnce(&Scene)) {
    let gate = Gate::new();
    let bytes = old();
    scene.write(NAME, &bytes);
    let other = scene.volume.mount(&MountOptions::default()).unwrap();
    let file = open_trusting(&other, NAME, LENGTH);
    archive(&scene);
    assert!(scene.is_cold(NAME));
    hold(&mut scene, &gate);
    gate.silence();
    let path = scene.path(NAME);
    let recall = thread::spawn(move || fs::write(&path, fs::read(&path)?));
    let on_brick = scene.brick(NAME);
    let has_size = || (fs::metadata(&on_brick).unwrap().len() == LENGTH as u64).then_some(());
    until(PATIENCE, "the file to be extended", has_size).unwrap();
    let on_brick = last_piece(&File::open(&on_brick).unwrap(), LENGTH).unwrap();
    assert_eq!(on_brick, [0; PIECE], "the recall did not wait");
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || sender.send(last_piece(&file, LENGTH)).unwrap());
    // An answer before the store's must be right, too.
    let early = receiver.recv_timeout(Duration::from_secs(1)).ok();
    gate.open();
    let read = early.unwrap_or_else(|| receiver.recv_timeout(PATIENCE).unwrap());
    reader.join().unwrap();
    assert_same(
        &read.unwrap(),
        &bytes[LENGTH - PIECE..],
        "while it is recalled",
    );
    let recalled = scene.within("the recall", move || recall.join().unwrap());
    recalled.unwrap();
}

#[test]
fn a_file_that_another_client_recalls_is_not_trusted() {
    let scene = Scene::new("trust");
    a_file_without_its_bytes_is_not_trusted(scene, |scene| scene.archive(NAME));
}

#[test]
fn a_file_that_another_client_recalls_is_not_trusted_without_times_of_the_volume() {
    let scene = Scene::with("trust-ctime", &[("features.ctime", "off")], Backing::Ram);
    a_file_without_its_bytes_is_not_trusted(scene, |scene| scene.archive(NAME));
}

#[test]
fn a_file_that_a_stock_client_has_archived_is_not_trusted() {
    let archive = |scene: &Scene| archive_as_stock(scene, NAME, LENGTH);
    a_file_without_its_bytes_is_not_trusted(Scene::new("trust-stock"), archive);
    let replica = Scene::on("trust-replica", REPLICA, &[], Backing::Ram);
    a_file_without_its_bytes_is_not_trusted(replica, archive);
}

/// Archiving adds two nanoseconds to the atime, on each brick, and changes no other time. So a brick that misses the recall, and is
/// healed while another client still reads from it, has another label than before, too.
#[test]
fn archiving_changes_only_nanoseconds_of_the_atime() {
    let mut scene = Scene::on("trust-atime", REPLICA, &[], Backing::Ram);
    scene.write("file", &pattern(1, 200_000));
    scene.remount();
    let times = |scene: &Scene| {
        let data = scene.stat("file");
        let nanos =
            |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let atime = nanos(data.atime(), data.atime_nsec());
        (
            atime,
            data.mtime(),
            data.mtime_nsec(),
            data.ctime(),
            data.ctime_nsec(),
        )
    };
    let kept = |scene: &Scene| {
        let copies = scene.copies("file");
        let times = copies
            .iter()
            .map(|copy| xattr::get(copy, "trusted.glusterfs.mdata").unwrap());
        times.map(Option::unwrap).collect::<Vec<_>>()
    };
    let (before, on_bricks) = (times(&scene), kept(&scene));
    scene.archive("file");
    scene.remount();
    let mut expected = before;
    expected.0 += 2;
    assert_eq!(times(&scene), expected);
    let after = kept(&scene);
    assert_eq!(after.len(), 3);
    assert!(after.iter().all(|times| *times == after[0]), "{after:?}");
    assert_ne!(after[0], on_bricks[0]);
}

/// A mark that appears on the bricks shows whether a read asks: one that does is refused, and the mark, which nobody's job
/// explains, removed.
#[test]
fn a_trusting_read_does_not_ask_unless_the_setting_says_so() {
    let scene = Scene::new("trusting");
    let bytes = pattern(1, 200_000);
    let want = &bytes[200_000 - PIECE..];
    scene.write("file", &bytes);
    let file = open_trusting(scene.mount(), "file", 200_000);
    let copy = scene.brick("file");
    xattr::set(&copy, MARK, b"1").unwrap();
    for _ in 0..10 {
        let read = read_last_piece(scene.mount(), &file, 200_000);
        assert_same(&read, want, "trusting");
    }
    assert!(xattr::get(&copy, MARK).unwrap().is_some(), "a read asked");
    let asks = ("features.cloudsync-product-id", "local-reads=ask");
    scene.volume.set(asks.0, asks.1).unwrap();
    until(PATIENCE, "a read that asks", || {
        let read = read_last_piece(scene.mount(), &file, 200_000);
        assert_same(&read, want, "asking");
        xattr::get(&copy, MARK).unwrap().is_none().then_some(())
    })
    .unwrap();
    scene.assert_idle();
}

/// There, an answer is made of several bricks', which may have seen the file at different times.
#[test]
fn an_erasure_coded_volume_trusts_no_label() {
    let scene = Scene::on("trust-coded", DISPERSE, &[], Backing::Ram);
    let bytes = pattern(1, 200_000);
    scene.write("file", &bytes);
    let file = open_trusting(scene.mount(), "file", 200_000);
    for copy in scene.copies("file") {
        xattr::set(&copy, MARK, b"1").unwrap();
    }
    let read = read_last_piece(scene.mount(), &file, 200_000);
    assert_same(&read, &bytes[200_000 - PIECE..], "asking");
    scene.await_local("file");
}

/// On every layout that trusts labels: two clients read a small and a large file all the time, while they are archived again and
/// again, bricks restart, and clients get new graphs. Reads may fail then, but never return other bytes.
pub(crate) fn reads_are_right_whatever_happens(scene: Scene) {
    const ARCHIVED: usize = 4;
    let files = [("small", 200_000), ("large", 3 << 20)];
    for (name, length) in files {
        let bytes = pattern(1, length);
        scene.write(name, &bytes);
        scene.bucket.put(name, &bytes).unwrap();
    }
    let seconds = files.map(|(name, _)| scene.stat(name).mtime().to_string());
    let other = scene.volume.mount(&MountOptions::default()).unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for mount in [scene.mount(), &other] {
        for (name, length) in files {
            let (path, ended) = (mount.path().join(name), Arc::clone(&ended));
            let reader = thread::spawn(move || read_at_random(&path, length, &ended));
            readers.push((name, reader));
        }
    }
    let rounds = |scene: &Scene| {
        for ((name, _), seconds) in files.iter().zip(&seconds) {
            let mut archived = 0;
            let what = format!("{name} to be archived {ARCHIVED} times");
            until(PATIENCE, &what, || {
                archived += usize::from(scene.complete(name, seconds).is_ok());
                (archived == ARCHIVED).then_some(())
            })
            .unwrap();
        }
    };
    rounds(&scene);
    scene.volume.kill_brick(0).unwrap();
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    rounds(&scene);
    scene
        .volume
        .set("performance.stat-prefetch", "off")
        .unwrap();
    rounds(&scene);
    ended.store(true, Ordering::Relaxed);
    for (name, reader) in readers {
        let join = move || reader.join().unwrap();
        let (right, wrong) = other.within(PATIENCE, "the readers", join);
        assert_eq!(wrong, None, "{name}: wrong bytes there");
        assert!(right > 0, "{name}: no read succeeded");
    }
    for (name, length) in files {
        assert_same(&scene.read(name).unwrap(), &pattern(1, length), name);
        scene.await_local(name);
    }
}

/// Reads until `ended`, or until a read returns wrong bytes. Returns how many were right, and where one was wrong.
fn read_at_random(path: &Path, length: usize, ended: &AtomicBool) -> (u32, Option<usize>) {
    let want = pattern(1, length);
    let (mut file, mut right, mut at) = (None, 0, 0);
    while !ended.load(Ordering::Relaxed) {
        let opened = match file.take() {
            Some(file) => Ok(file),
            None => open(path),
        };
        at = (at + 37 * PIECE) % (length - PIECE);
        let mut piece = vec![0; PIECE];
        let read = opened.and_then(|opened| {
            opened.read_exact_at(&mut piece, at as u64)?;
            file = Some(opened);
            Ok(())
        });
        match read {
            Ok(()) if piece == want[at..at + PIECE] => right += 1,
            Ok(()) => return (right, Some(at)),
            // A read that is too short is as wrong as one with other bytes.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return (right, Some(at)),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
    (right, None)
}
