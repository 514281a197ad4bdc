// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A recall that a test can keep running as long as it needs, and its reader.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cloudsync_lab::{Backing, Layout, Mount};

use crate::gate::{BURST, Gate};
use crate::scene::{PATIENCE, Scene, assert_same, pattern};

/// Size of such a file: more than the gate passes in its first burst.
pub(super) const LENGTH: usize = 2 * BURST + 13;

pub(super) fn bytes() -> Vec<u8> {
    pattern(1, LENGTH)
}

/// A read in the background: its result, and how long it took.
pub(super) struct Reader(JoinHandle<(io::Result<Vec<u8>>, Duration)>);

impl Reader {
    pub(super) fn start(path: PathBuf) -> Self {
        let started = Instant::now();
        Self(thread::spawn(move || (fs::read(path), started.elapsed())))
    }

    /// Waits for the end of a read whose client was killed. It may have got the bytes.
    pub(super) fn abandon(self) {
        if let (Ok(read), _) = self.0.join().unwrap() {
            assert_same(&read, &bytes(), "a read of a client that was killed");
        }
    }

    /// Expects the right bytes or an errno, within the time limit.
    pub(super) fn end(self, mount: &Mount, what: &str) -> Option<i32> {
        let (read, took) = mount.within(PATIENCE, what, move || self.0.join().unwrap());
        let errno = match read {
            Ok(read) => {
                assert_same(&read, &bytes(), what);
                None
            }
            Err(error) => error.raw_os_error(),
        };
        let outcome = errno.map_or_else(
            || "bytes".to_owned(),
            |errno| io::Error::from_raw_os_error(errno).to_string(),
        );
        eprintln!("| {what} | {outcome}, {took:.1?} after the start of the read |");
        errno
    }
}

/// A volume with cold files whose recalls the gate can delay.
pub(super) fn scene(stem: &str, layout: Layout, names: &[&str]) -> (Scene, Gate) {
    let gate = Gate::new();
    let settings = [
        ("features.s3plugin-hostname", gate.url()),
        ("network.ping-timeout", "3"),
    ];
    let mut scene = Scene::on(stem, layout, &settings, Backing::Ram);
    for name in names {
        scene.write(name, &bytes());
        scene.archive(name);
    }
    scene.remount();
    (scene, gate)
}

/// Starts a recall and returns while it runs.
pub(super) fn start_recall(scene: &Scene, gate: &Gate, name: &str) -> Reader {
    gate.hold();
    let reader = Reader::start(scene.path(name));
    await_bytes(scene, name);
    reader
}

pub(super) fn await_bytes(scene: &Scene, name: &str) {
    let started = Instant::now();
    let copies = scene.copies(name);
    let cold = |copy: &PathBuf| fs::metadata(copy).unwrap().blocks() == 0;
    while copies.iter().all(cold) {
        assert!(
            started.elapsed() < PATIENCE,
            "the recall of {name} does not start"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

/// The recall has not ended: whatever happens now happens during it.
#[track_caller]
pub(super) fn assert_recalling(scene: &Scene, name: &str) {
    assert!(
        !scene.is_local_now(name) && !scene.volume.is_cold_now(name),
        "{name} is not being recalled: {}",
        scene.marks(name)
    );
}

/// Retries until the read succeeds: a client may be reconnecting.
pub(super) fn read_again(scene: &Scene, name: &str) {
    let path = scene.path(name);
    let read = scene.within("read again", move || {
        let end = Instant::now() + PATIENCE / 2;
        loop {
            match fs::read(&path) {
                Err(_) if Instant::now() < end => thread::sleep(Duration::from_millis(100)),
                read => break read,
            }
        }
    });
    assert_same(&read.unwrap(), &bytes(), name);
}
