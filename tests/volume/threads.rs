// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Many threads of one client and one new file, which was never cold: they create it at once, and each appends.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use cloudsync_lab::{ADDRESS, Backing, Layout};

use crate::native::compiled;
use crate::scene::{Scene, lab};

const RUNS: usize = 20;
const THREADS: usize = 10;
const RECORDS: usize = 10;
const SIZE: usize = 205;

/// Runs it. In every run every call must succeed, and nothing that was written may be missing.
#[track_caller]
fn append(scene: &mut Scene, what: &str) {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| compiled("threads", &["-lgfapi", "-lpthread"]));
    let log = lab().scratch(&format!("log/threads-{}.log", scene.volume.name()));
    let numbers = [RUNS, THREADS, RECORDS, SIZE].map(|number| number.to_string());
    let fixed = [scene.volume.name(), ADDRESS, log.to_str().unwrap(), "/file"];
    let args = fixed.into_iter().chain(numbers.iter().map(String::as_str));
    let ran = lab()
        .run_with(
            Duration::from_secs(110),
            program.to_str().unwrap(),
            args,
            |_| {},
        )
        .unwrap();
    let said = ran.check().unwrap();
    let size = THREADS * RECORDS * SIZE;
    let want: String = (0..RUNS)
        .map(|run| format!("/file-{run} has {size} bytes\n"))
        .collect();
    let bad: Vec<_> = said.lines().filter(|line| !want.contains(line)).collect();
    assert!(said == want, "{what}: {} lines, {bad:#?}", bad.len());
    // Another client, which has nothing of it in memory.
    scene.remount();
    for run in 0..RUNS {
        let bytes = scene.read(&format!("file-{run}")).unwrap();
        let of = |number: usize| {
            let letter = b'a' + u8::try_from(number).unwrap();
            bytes.iter().filter(|byte| **byte == letter).count()
        };
        let counts: Vec<_> = (0..THREADS).map(of).collect();
        assert_eq!(counts, vec![RECORDS * SIZE; THREADS], "{what}, run {run}");
    }
}

#[test]
fn on_one_brick() {
    append(&mut Scene::new("threads"), "one brick");
}

#[test]
fn on_replica_3() {
    let mut scene = Scene::on("threads-copies", Layout::Replica(3), &[], Backing::Ram);
    append(&mut scene, "replica 3");
}

#[test]
fn with_shard() {
    let settings = [
        ("features.shard", "on"),
        ("features.shard-block-size", "4MB"),
        // As that test has it: appends go to the bricks in the order in which they are answered.
        ("performance.write-behind", "off"),
    ];
    let mut scene = Scene::with("threads-shard", &settings, Backing::Ram);
    append(&mut scene, "shard");
}

/// What is created through a mount by one client and appended to by another.
#[test]
fn by_programs_of_two_mounts() {
    use cloudsync_lab::MountOptions;
    use std::fs::File;
    use std::io::Write;
    let mut scene = Scene::new("threads-mounts");
    let other = scene.volume.mount(&MountOptions::default()).unwrap();
    for run in 0..RUNS {
        let paths = [scene.mount().path(), other.path()].map(|root| root.join(run.to_string()));
        scene.within("append", move || {
            std::thread::scope(|scope| {
                for number in 0..THREADS {
                    let path = &paths[number % 2];
                    scope.spawn(move || {
                        let mut options = File::options();
                        let mut file = options.append(true).create(true).open(path).unwrap();
                        for _ in 0..RECORDS {
                            file.write_all(&[b'a'; SIZE]).unwrap();
                        }
                        crate::scene::close(file).unwrap();
                    });
                }
            });
        });
    }
    other.unmount().unwrap();
    scene.remount();
    for run in 0..RUNS {
        let bytes = scene.read(&run.to_string()).unwrap();
        // Appends of two kernels race for the end of the file; each of one kernel's must be there.
        assert!(
            bytes.len() >= THREADS / 2 * RECORDS * SIZE,
            "run {run}: {}",
            bytes.len()
        );
        assert!(bytes.iter().all(|byte| *byte == b'a'), "run {run}");
    }
}
