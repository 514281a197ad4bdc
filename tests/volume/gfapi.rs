// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Clients without a mount: libgfapi loads us into a program that goes on after its volume, and ends by itself.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use cloudsync_format::claim::Claim;
use cloudsync_lab::{ADDRESS, Backing};

use crate::gate::Gate;
use crate::native::compiled;
use crate::scene::{Scene, claim, lab, pattern};

/// glfs_fini takes 10 s without us, and waits for what is under way.
const BOUND: Duration = Duration::from_secs(45);

/// The program, as the lab sees it.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| compiled("gfapi", &["-lgfapi", "-lpthread"]))
}

/// Runs it. Returns what it printed: of the file it read, and of its end.
fn run(scene: &Scene, words: &[&str]) -> (String, String) {
    let log = lab().scratch(&format!("log/gfapi-{}.log", scene.volume.name()));
    let log = log.to_str().unwrap();
    let args = [scene.volume.name(), ADDRESS, log]
        .into_iter()
        .chain(words.iter().copied());
    let outcome = lab()
        .run_with(BOUND, program().to_str().unwrap(), args, |_| {})
        .unwrap();
    let failed = format!(
        "{outcome}\n{}",
        fs::read_to_string(lab().outer(log)).unwrap()
    );
    let said = outcome.check().unwrap_or_else(|_| panic!("{failed}"));
    let (read, end) = said.split_once('\n').unwrap();
    (read.to_owned(), end.trim().to_owned())
}

fn sum(bytes: &[u8]) -> String {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{} bytes, sum {sum:016x}", bytes.len())
}

fn assert_ended(end: &str) {
    assert!(end.starts_with("fini 0 after "), "{end}");
}

#[test]
fn a_program_reads_a_cold_file_and_ends() {
    let scene = Scene::new("api-read");
    let bytes = pattern(1, (8 << 20) + 13);
    scene.write("dir/file", &bytes);
    scene.archive("dir/file");
    let (read, end) = run(&scene, &["read", "/dir/file"]);
    assert_eq!(read, sum(&bytes));
    assert_ended(&end);
    // The program had what it wanted; its end ends the recall, if that takes longer.
    assert!(scene.is_plain("dir/file") || scene.is_cold("dir/file"));
}

#[test]
fn a_program_writes_into_a_cold_file() {
    let mut scene = Scene::new("api-write");
    let mut want = pattern(2, 300_000);
    scene.write("file", &want);
    scene.archive("file");
    let (read, end) = run(&scene, &["write", "/file", "150000", "WRITE"]);
    want[150_000..150_005].copy_from_slice(b"WRITE");
    assert_eq!(read, sum(&want));
    assert_ended(&end);
    scene.remount();
    assert_eq!(sum(&scene.read("file").unwrap()), sum(&want));
}

#[test]
fn a_program_replaces_a_cold_file() {
    let mut scene = Scene::new("api-replace");
    scene.write("file", &pattern(3, 300_000));
    scene.archive("file");
    let (read, end) = run(&scene, &["replace", "/file", "0", "new"]);
    assert_eq!(read, sum(b"new"));
    assert_ended(&end);
    scene.remount();
    assert_eq!(scene.read("file").unwrap(), b"new");
    scene.await_plain("file");
}

/// The host waits ten seconds for what is under way and then takes the volume apart, unless `fini` waits.
#[test]
fn a_volume_is_not_taken_apart_under_a_handshake() {
    let gate = Gate::new();
    let settings = [("features.s3plugin-hostname", gate.url())];
    let scene = Scene::with("api-leave", &settings, Backing::Ram);
    let bytes = pattern(4, 300_000);
    scene.write("file", &bytes);
    scene.bucket.put("file", &bytes).unwrap();
    let seen = Claim {
        key: Some(String::from("file")),
        ..claim(&scene.stat("file"))
    };
    gate.silence();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_secs(13));
            gate.open();
        });
        let (answered, end) = run(&scene, &["leave", "/file", "0", &seen.to_string()]);
        assert_eq!(
            answered, "answered",
            "the volume was gone before its operation was"
        );
        // -1: the host has noticed that something was under way after its ten seconds.
        assert!(end.starts_with("fini -1 after "), "{end}");
    });
    let read = scene.read("file").unwrap();
    assert_eq!(sum(&read), sum(&bytes));
}
