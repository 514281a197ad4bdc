// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A recall that is under way for as long as a test likes, and its reader.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cloudsync_lab::{Backing, Layout, Mount};

use crate::gate::{AT_ONCE, Gate};
use crate::scene::{PATIENCE, Scene, assert_same, pattern};

/// Bytes of such a file: more than the gate lets through at once.
pub(super) const LENGTH: usize = 2 * AT_ONCE + 13;

pub(super) fn bytes() -> Vec<u8> {
    pattern(1, LENGTH)
}

/// What came of a read, and after what time it was there.
pub(super) struct Reader(JoinHandle<(io::Result<Vec<u8>>, Duration)>);

impl Reader {
    pub(super) fn start(path: PathBuf) -> Self {
        let begun = Instant::now();
        Self(thread::spawn(move || (fs::read(path), begun.elapsed())))
    }

    /// The right bytes, or an errno; anything else fails, and so does one that does not end.
    pub(super) fn end(self, mount: &Mount, what: &str) -> Option<i32> {
        let (read, took) = mount.within(PATIENCE, what, move || self.0.join().unwrap());
        let errno = match read {
            Ok(read) => {
                assert_same(&read, &bytes(), what);
                None
            }
            Err(error) => error.raw_os_error(),
        };
        let came = errno.map_or_else(
            || "bytes".to_owned(),
            |errno| io::Error::from_raw_os_error(errno).to_string(),
        );
        eprintln!("| {what} | {came}, {took:.1?} after the read began |");
        errno
    }
}

/// A volume with cold files whose recalls the gate can hold.
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

/// Starts a recall and returns in the middle of it.
pub(super) fn begin(scene: &Scene, gate: &Gate, name: &str) -> Reader {
    gate.hold();
    let reader = Reader::start(scene.path(name));
    await_bytes(scene, name);
    reader
}

pub(super) fn await_bytes(scene: &Scene, name: &str) {
    let begun = Instant::now();
    let copies = scene.copies(name);
    let cold = |copy: &PathBuf| fs::metadata(copy).unwrap().blocks() == 0;
    while copies.iter().all(cold) {
        assert!(
            begun.elapsed() < PATIENCE,
            "the recall of {name} does not begin"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

/// The recall has not ended: what is done to it now is done in its middle.
#[track_caller]
pub(super) fn assert_under_way(scene: &Scene, name: &str) {
    assert!(
        !scene.is_plain_now(name) && !scene.is_cold(name),
        "{name} is not being recalled: {}",
        scene.marks(name)
    );
}

/// Reads until it works: a client may be connecting again.
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
