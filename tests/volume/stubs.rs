// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reads that leave a file cold, and do not ask the bricks whether it still is, because the client trusts the label of its stub
//! (docs/design/local-reads.md).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use cloudsync_lab::{Backing, Mount, MountOptions, until};

use crate::scene::{PATIENCE, Scene, assert_same, await_connection, errno, pattern};
use crate::trust::open;

const NAME: &str = "file";
const PIECE: usize = 4096;
const LENGTH: usize = 3 << 20;
const REMOTE_READ: (&str, &str) = ("features.cloudsync-remote-read", "on");
const SETTINGS: &str = "features.cloudsync-product-id";
const SIZE: &str = "trusted.glusterfs.cs.object_size";

/// A cold file, and another client that trusts its stub.
struct Stub {
    scene: Scene,
    other: Mount,
    file: Arc<File>,
}

impl Stub {
    fn new(name: &str) -> Self {
        let scene = Scene::with(name, &[REMOTE_READ], Backing::Ram);
        scene.write(NAME, &pattern(1, LENGTH));
        scene.archive(NAME);
        let other = scene.volume.mount(&MountOptions::default()).unwrap();
        let path = other.path().join(NAME);
        let file = other.within(PATIENCE, "the open", move || open(&path));
        let stub = Self {
            scene,
            other,
            file: Arc::new(file.unwrap()),
        };
        for place in 0..3 {
            assert_same(&stub.read(place).unwrap(), &piece(1, place), "cold");
        }
        stub
    }

    /// Reads a piece with the other client. At the end of the file there is less of it.
    fn read(&self, place: usize) -> io::Result<Vec<u8>> {
        let file = Arc::clone(&self.file);
        self.other.within(PATIENCE, "a read", move || {
            let mut bytes = vec![0; PIECE];
            let got = file.read_at(&mut bytes, (place * PIECE) as u64)?;
            bytes.truncate(got);
            Ok(bytes)
        })
    }

    /// Changes the file with the first client.
    fn change(&self, change: impl FnOnce(&Path) -> io::Result<()> + Send + 'static) {
        let path = self.scene.path(NAME);
        let changed = self.scene.within("a change", move || change(&path));
        changed.unwrap();
    }
}

/// A piece of the file in one of its versions.
fn piece(version: u64, place: usize) -> Vec<u8> {
    pattern(version, LENGTH)[place * PIECE..][..PIECE].to_vec()
}

#[test]
fn what_another_client_has_written_is_read_and_also_when_it_is_cold_again() {
    let stub = Stub::new("stub-written");
    for version in 2..5 {
        stub.change(move |path| {
            let file = File::options().write(true).open(path)?;
            file.write_all_at(&pattern(version, LENGTH), 0)
        });
        // The client may also see nothing of the file between two stubs.
        for place in 0..3 * (version as usize % 2) {
            assert_same(&stub.read(place).unwrap(), &piece(version, place), "local");
        }
        stub.scene.archive(NAME);
        for place in 0..4 {
            assert_same(&stub.read(place).unwrap(), &piece(version, place), "cold");
        }
        assert!(stub.scene.is_cold(NAME));
    }
    stub.scene.assert_idle();
}

/// A truncation to nothing leaves the file on the bricks as it was, empty: only its times show that it is local now.
#[test]
fn a_file_that_another_client_empties_is_empty() {
    let stub = Stub::new("stub-emptied");
    stub.change(|path| File::create(path).map(drop));
    // The kernel fills up to the size that it knew, as it does with a file that was never cold.
    let read = stub.read(0).unwrap();
    assert!(read.iter().all(|byte| *byte == 0), "{:?}", &read[..16]);
    let mdata = xattr::get(stub.scene.brick(NAME), "trusted.glusterfs.mdata");
    let mdata = mdata.unwrap().unwrap();
    // The host's posix_mdata_disk_t: a version, flags, and the times, first the ctime, then the mtime.
    let time = |at: usize| &mdata[9 + 16 * at..][..16];
    assert!(time(0) > time(1), "of when it became local: {mdata:?}");
    stub.scene.assert_idle();
}

/// An invalid mark shows whether a read asks: one that does fails.
#[test]
fn a_trusting_read_does_not_ask_unless_the_setting_says_so() {
    let stub = Stub::new("stub-asks");
    for copy in stub.scene.copies(NAME) {
        xattr::set(copy, SIZE, b"wrong").unwrap();
    }
    for place in 3..9 {
        assert_same(&stub.read(place).unwrap(), &piece(1, place), "trusting");
    }
    stub.scene.volume.set(SETTINGS, "local-reads=ask").unwrap();
    until(PATIENCE, "a read that asks", || {
        let read = stub.read(9);
        read.is_err().then(|| assert_eq!(errno(read), libc::EIO))
    })
    .unwrap();
}

/// As when an archiver has moved the object, which changes the marks and no time, and the old one is removed.
#[test]
fn a_file_whose_object_was_replaced_is_asked_about() {
    let stub = Stub::new("stub-moved");
    let scene = &stub.scene;
    scene.bucket.put("moved", &pattern(1, LENGTH)).unwrap();
    for copy in scene.copies(NAME) {
        let marks = ["remote", "key", "version", "record"];
        for mark in marks.map(|mark| format!("trusted.glusterfs.cs.{mark}")) {
            if xattr::get(&copy, &mark).unwrap().is_some() {
                xattr::remove(&copy, &mark).unwrap();
            }
        }
        xattr::set(&copy, "trusted.glusterfs.cs.remote", b"moved").unwrap();
    }
    scene.bucket.delete(NAME).unwrap();
    let last = LENGTH / PIECE - 1;
    assert_same(&stub.read(last).unwrap(), &piece(1, last), "moved");
    scene.bucket.delete("moved").unwrap();
    let middle = LENGTH / PIECE / 2;
    assert_eq!(errno(stub.read(middle)), libc::ENODATA);
    scene.assert_idle();
}

/// Two clients read all the time, while a third one writes versions of the file, each of which is archived. What they read is
/// never older than what was written before they asked.
pub(crate) fn remote_reads_are_right_whatever_happens(scene: Scene) {
    const VERSIONS: u64 = 12;
    scene.volume.set(REMOTE_READ.0, REMOTE_READ.1).unwrap();
    scene.write(NAME, &pattern(1, LENGTH));
    scene.archive(NAME);
    let versions: Arc<Vec<Vec<u8>>> = Arc::new(
        (0..=VERSIONS)
            .map(|version| pattern(version, LENGTH))
            .collect(),
    );
    let written = Arc::new([AtomicU64::new(1), AtomicU64::new(1)]);
    let ended = Arc::new(AtomicBool::new(false));
    let others: Vec<Mount> = (0..2)
        .map(|_| scene.volume.mount(&MountOptions::default()).unwrap())
        .collect();
    let readers: Vec<_> = others
        .iter()
        .map(|mount| {
            let path = mount.path().join(NAME);
            let (versions, written, ended) = (
                Arc::clone(&versions),
                Arc::clone(&written),
                Arc::clone(&ended),
            );
            thread::spawn(move || read_versions(&path, &versions, &written, &ended))
        })
        .collect();
    for version in 2..=VERSIONS {
        let bytes = versions[version as usize].clone();
        let path = scene.path(NAME);
        written[1].store(version, Ordering::SeqCst);
        scene
            .within("a version", move || {
                let file = File::options().write(true).open(path)?;
                file.write_all_at(&bytes, 0)?;
                file.sync_all()
            })
            .unwrap();
        written[0].store(version, Ordering::SeqCst);
        scene.archive(NAME);
        // Long enough for some reads that trust the new stub.
        thread::sleep(Duration::from_millis(100));
        if version == VERSIONS / 2 {
            scene.volume.kill_brick(0).unwrap();
            await_connection(scene.mount(), &scene, false);
            scene.volume.start().unwrap();
            scene.volume.await_bricks().unwrap();
            await_connection(scene.mount(), &scene, true);
        }
    }
    ended.store(true, Ordering::SeqCst);
    for (mount, reader) in others.iter().zip(readers) {
        let join = move || reader.join().unwrap();
        let (right, wrong) = mount.within(PATIENCE, "the readers", join);
        assert_eq!(wrong, None);
        assert!(right > 0, "no read succeeded");
    }
}

/// Reads until `ended`. Returns how many reads were right, and what was wrong with one.
fn read_versions(
    path: &Path,
    versions: &[Vec<u8>],
    [written, begun]: &[AtomicU64; 2],
    ended: &AtomicBool,
) -> (u32, Option<String>) {
    let (mut file, mut right, mut at) = (None, 0, 0);
    while !ended.load(Ordering::SeqCst) {
        at = (at + 37 * PIECE) % LENGTH;
        let least = written.load(Ordering::SeqCst);
        let mut bytes = vec![0; PIECE];
        let opened = file.take().map_or_else(|| open(path), Ok);
        let read = opened.and_then(|opened| {
            let got = opened.read_at(&mut bytes, at as u64)?;
            file = Some(opened);
            Ok(got)
        });
        let most = begun.load(Ordering::SeqCst);
        let Ok(got) = read else {
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let right_one = (least..=most)
            .any(|version| versions[version as usize][at..at + PIECE] == bytes[..got]);
        if !right_one {
            let which = versions
                .iter()
                .position(|all| all[at..at + PIECE] == bytes[..]);
            return (
                right,
                Some(format!(
                    "{got} bytes at {at}: version {which:?}, not {least} to {most}"
                )),
            );
        }
        right += 1;
    }
    (right, None)
}
