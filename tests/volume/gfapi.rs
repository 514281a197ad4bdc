// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Clients without a mount: libgfapi loads our translator into a program that outlives its volume.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use cloudsync_format::claim::Claim;
use cloudsync_lab::{ADDRESS, Backing, Lab, Outcome, until};

use crate::gate::Gate;
use crate::native::compiled;
use crate::scene::{Scene, claim, lab, pattern};

/// glfs_fini takes 10 s without us, and waits for running operations.
const BOUND: Duration = Duration::from_secs(45);

/// The program's path in the lab.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| compiled("gfapi", &["-lgfapi", "-lpthread"]))
}

/// Runs a program. A thread of GlusterFS's own sometimes crashes when the program ends, also without us (docs/RELIABILITY.md
/// counts that): then it runs again.
pub(crate) fn outcome(lab: &Lab, program: &Path, args: &[&str]) -> Outcome {
    for _ in 0..3 {
        let run = lab.run_with(BOUND, program.to_str().unwrap(), args, |_| {});
        let run = run.unwrap();
        let printed = run.text();
        if !printed.contains(CRASHED) || shows_ours(&printed) {
            return run;
        }
        eprintln!("a crash of GlusterFS: {run}");
    }
    panic!("GlusterFS crashed three times");
}

/// The log of a volume's program.
fn log(scene: &Scene) -> PathBuf {
    lab().scratch(&format!("log/gfapi-{}.log", scene.volume.name()))
}

/// Runs the program. Returns its two lines: what it read, and how it ended.
pub(crate) fn run(scene: &Scene, words: &[&str]) -> (String, String) {
    let log = log(scene);
    let log = log.to_str().unwrap();
    let args = [scene.volume.name(), ADDRESS, log];
    let args = [&args[..], words].concat();
    let outcome = outcome(lab(), program(), &args);
    let failed = format!(
        "{outcome}\n{}",
        fs::read_to_string(lab().outer(log)).unwrap()
    );
    let output = outcome.check().unwrap_or_else(|_| panic!("{failed}"));
    let (read, end) = output.split_once('\n').unwrap();
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
fn a_gfapi_program_reads_a_cold_file_and_exits() {
    let scene = Scene::new("api-read");
    let bytes = pattern(1, (8 << 20) + 13);
    scene.write("dir/file", &bytes);
    scene.archive("dir/file");
    let (read, end) = run(&scene, &["read", "/dir/file"]);
    assert_eq!(read, sum(&bytes));
    assert_ended(&end);
    // The program does not wait for the recall, but closing the volume does.
    assert!(scene.is_local("dir/file") || scene.is_cold("dir/file"));
}

#[test]
fn a_gfapi_program_writes_to_a_cold_file() {
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
fn a_gfapi_program_replaces_a_cold_file() {
    let mut scene = Scene::new("api-replace");
    scene.write("file", &pattern(3, 300_000));
    scene.archive("file");
    let (read, end) = run(&scene, &["replace", "/file", "0", "new"]);
    assert_eq!(read, sum(b"new"));
    assert_ended(&end);
    scene.remount();
    assert_eq!(scene.read("file").unwrap(), b"new");
    scene.await_local("file");
}

/// How many programs run with the feature off, and again with it on.
fn programs() -> usize {
    let given = std::env::var("CLOUDSYNC_PROGRAMS").ok();
    given.map_or(10, |text| text.parse().unwrap())
}

/// What the program prints before the stack of a crash.
const CRASHED: &str = "\ncrashed:\n";

/// Runs programs that read a file each, some at the same time. Returns what those that crashed printed.
fn crashes(scene: &Scene, what: &str, names: &[String], want: &str) -> Vec<String> {
    const AT_A_TIME: usize = 10;
    let folder = lab().scratch(&format!("log/ends-{}-{what}", scene.volume.name()));
    fs::create_dir_all(lab().outer(&folder)).unwrap();
    let run = |name: &String| {
        let log = folder.join(name);
        let path = format!("/{name}");
        let args = [
            scene.volume.name(),
            ADDRESS,
            log.to_str().unwrap(),
            "read",
            &path,
        ];
        let outcome = lab()
            .run_with(BOUND, program().to_str().unwrap(), args, |_| {})
            .unwrap();
        let text = outcome.text();
        if text.contains(CRASHED) {
            return Some(text);
        }
        // On a busy machine GlusterFS may find the recall still running after its ten seconds: "fini -1".
        let whole = outcome.success() && text.starts_with(want) && text.contains("\nfini ");
        assert!(whole, "{what}: {outcome}");
        None
    };
    let mut stacks = Vec::new();
    for batch in names.chunks(AT_A_TIME) {
        thread::scope(|scope| {
            let running: Vec<_> = batch.iter().map(|name| scope.spawn(|| run(name))).collect();
            stacks.extend(running.into_iter().filter_map(|one| one.join().unwrap()));
        });
    }
    let (all, bad) = (names.len(), stacks.len());
    eprintln!("| feature {what} | {all} programs | {bad} crashed |");
    stacks
}

/// Whether code of ours stands in the stack that a crashed program printed. A frame without a library may be ours too:
/// it was unloaded.
fn shows_ours(printed: &str) -> bool {
    let (_, stack) = printed.split_once(CRASHED).unwrap();
    let ours = |frame: &str| {
        frame.contains("cloudsync.so") || frame.contains("amazons3") || !frame.contains('(')
    };
    assert!(!stack.trim().is_empty(), "a crash without a stack");
    stack.lines().any(ours)
}

/// Ten programs in a normal run; `CLOUDSYNC_PROGRAMS=100` for more. One that crashes in GlusterFS's own code is counted,
/// with the feature off as with it on; its stack must show none of ours.
#[test]
fn programs_end_without_a_crash_of_ours() {
    let mut scene = Scene::with("api-end", &[("features.cloudsync", "off")], Backing::Ram);
    let bytes = pattern(5, 600_000);
    let names: Vec<_> = (0..programs())
        .map(|number| format!("file-{number}"))
        .collect();
    for name in &names {
        scene.write(name, &bytes);
    }
    for printed in crashes(&scene, "off", &names, &sum(&bytes)) {
        eprintln!("{printed}");
    }
    scene.volume.set("features.cloudsync", "on").unwrap();
    // The old mount gets the translator at some later time.
    scene.remount();
    for name in &names {
        scene.archive(name);
    }
    for printed in crashes(&scene, "on", &names, &sum(&bytes)) {
        eprintln!("{printed}");
        assert!(!shows_ours(&printed), "a crash of ours: {printed}");
    }
}

/// GlusterFS waits ten seconds for running operations and then frees the volume, unless the translator keeps it.
#[test]
fn glfs_fini_waits_for_a_running_handshake() {
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
            let waits = || {
                let log = fs::read_to_string(lab().outer(log(&scene))).unwrap_or_default();
                log.contains("waits for work in progress").then_some(())
            };
            let waited = until(BOUND, "the translator's wait", waits);
            gate.open();
            waited.unwrap();
        });
        let (answered, end) = run(&scene, &["leave", "/file", "0", &seen.to_string()]);
        assert_eq!(
            answered, "answered",
            "the volume was freed before its operation ended"
        );
        // -1: GlusterFS found an operation still running after its ten seconds.
        assert!(end.starts_with("fini -1 after "), "{end}");
    });
    let read = scene.read("file").unwrap();
    assert_eq!(sum(&read), sum(&bytes));
}
