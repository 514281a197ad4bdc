// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! fsx (<https://crates.io/crates/fsx>) exercises a file on one client, while another client keeps archiving it.
//!
//! fsx is a separate program with its own licence (APSL-2.0), so it is not linked: the first run installs it next to
//! cargo's other output, unless CLOUDSYNC_FSX names it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::marks::has;
use cloudsync_lab::{Mount, MountOptions};
use rustix::process::{Pid, Signal, kill_process};

use crate::cold::{CHANGED, claim, complete};
use crate::scene::Scene;
use crate::variable;

/// Up to 256 KiB, fsx's default; all operations on a file that Linux allows through FUSE, except posix_fadvise: see
/// [`no_readahead`].
const CONFIG: &str = "
flen = 262144
[opsize]
max = 65536
[weights]
read = 8
write = 5
mapread = 2
mapwrite = 0
truncate = 20
";

const OPERATIONS: u64 = 100_000;

/// Longer than the operations take if one in ten waits for a recall.
fn patience(operations: u64) -> Duration {
    Duration::from_secs(120) + Duration::from_millis(20) * u32::try_from(operations).unwrap()
}

fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("CLOUDSYNC_FSX") {
        return program.into();
    }
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fsx-0.3.2");
    let program = root.join("bin/fsx");
    if !program.is_file() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // sudo may have cleared PATH, but rustc is next to cargo.
        let mut path = OsString::from(Path::new(&cargo).parent().unwrap());
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let installed = Command::new(&cargo)
            .args([
                "install",
                "--quiet",
                "--locked",
                "--debug",
                "--version",
                "=0.3.2",
            ])
            .args(["--root".as_ref(), root.as_os_str()])
            .args(["--target-dir".as_ref(), root.join("target").as_os_str()])
            .arg("fsx")
            .env("PATH", path)
            .status();
        assert!(installed.unwrap().success(), "cargo install fsx");
    }
    program
}

/// The archiver must not read old bytes while it sees new times: by default the kernel's pages are only invalidated
/// some time after the new times arrive, and quick-read keeps bytes for a second. Old times would do no harm, but then
/// nothing would be archived.
fn archiver_options() -> MountOptions {
    MountOptions::default()
        .arg("--auto-invalidation=on")
        .arg("--attribute-timeout=0")
        .arg("--xlator-option=*-md-cache.md-cache-timeout=0")
        .arg("--xlator-option=*-quick-read.cache-timeout=0")
}

/// Disables the kernel's readahead. A brick that serves a read during a truncation may return the old size with the new
/// times (posix_fdstat takes two steps); md-cache accepts these times and shows the old size for a second. That is a
/// fault of GlusterFS, so fsx must not read and truncate concurrently. By itself it does not, but readahead would
/// continue in the background.
fn no_readahead(mount: &Mount) {
    let device = fs::metadata(mount.path()).unwrap().dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    fs::write(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"), "0").unwrap();
}

#[derive(Debug, Default)]
struct Archiver {
    tried: u32,
    archived: u32,
    refused: u32,
    recalled: u32,
}

/// Reads, uploads and completes the file repeatedly until `stop`. fsx is stopped while it reads and uploads, because
/// it would change the file every time; it is continued some milliseconds before, during, or after the handshake.
fn archive(scene: &Scene, mount: &Mount, fsx: Pid, stop: &AtomicBool) -> Archiver {
    let path = mount.path().join("file");
    let mut counts = Archiver::default();
    let signal = |signal| {
        // fsx may have ended.
        let _ = kill_process(fsx, signal);
    };
    while !stop.load(Ordering::Relaxed) {
        if has(&scene.brick("file"), "remote") {
            // fsx has not created it yet.
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        counts.recalled = counts.archived;
        counts.tried += 1;
        thread::sleep(Duration::from_millis(100));
        signal(Signal::STOP);
        let key = format!("object-{}", counts.tried);
        let data = fs::metadata(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        if bytes.len() as u64 != data.len() {
            counts.refused += 1;
            signal(Signal::CONT);
            continue;
        }
        scene.bucket.put(&key, &bytes).unwrap();
        let result = thread::scope(|scope| {
            let after = Duration::from_millis(u64::from(counts.tried * 7 % 80));
            let head_start = counts.tried % 4 == 0;
            scope.spawn(move || {
                thread::sleep(if head_start { Duration::ZERO } else { after });
                signal(Signal::CONT);
            });
            if head_start {
                thread::sleep(after / 8);
            }
            complete(&path, &claim(&data, &key))
        });
        match result {
            Ok(()) => counts.archived += 1,
            Err(error) => {
                let changed = CHANGED.map(Some).contains(&error.raw_os_error());
                assert!(changed, "the archive is refused: {error}");
                counts.refused += 1;
            }
        }
    }
    signal(Signal::CONT);
    counts
}

#[test]
fn fsx_with_concurrent_archiver() {
    let operations = variable("CLOUDSYNC_FSX_OPERATIONS").unwrap_or(OPERATIONS);
    let seed = variable("CLOUDSYNC_FSX_SEED").unwrap_or(3);
    let program = program();
    let scene = Scene::new("fsx");
    no_readahead(scene.mount());
    let archiver = scene.volume.mount(&archiver_options()).unwrap();
    let scratch =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fsx-{}", std::process::id()));
    fs::create_dir_all(&scratch).unwrap();
    fs::write(scratch.join("fsx.toml"), CONFIG).unwrap();
    scene.write("file", b"");
    let output = fs::File::create(scratch.join("output")).unwrap();
    let started = Instant::now();
    let mut fsx = Command::new(program)
        .args(["-N", &operations.to_string(), "-S", &seed.to_string(), "-f"])
        .args([
            scratch.join("fsx.toml").as_os_str(),
            "-P".as_ref(),
            scratch.as_os_str(),
        ])
        .arg(scene.path("file"))
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&fsx);
    let stop = AtomicBool::new(false);
    let (status, counts) = thread::scope(|scope| {
        let archives = scope.spawn(|| archive(&scene, &archiver, pid, &stop));
        let status = loop {
            let status = fsx.try_wait().unwrap();
            if status.is_some()
                || archives.is_finished()
                || started.elapsed() > patience(operations)
            {
                break status;
            }
            thread::sleep(Duration::from_millis(50));
        };
        if status.is_none() {
            eprintln!("{}\n{}", scene.mount().report(), archiver.report());
            fsx.kill().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        (status, archives.join().unwrap())
    });
    let rate = operations as f64 / started.elapsed().as_secs_f64();
    eprintln!("fsx: {operations} operations, {rate:.0}/s, CLOUDSYNC_FSX_SEED={seed}, {counts:?}");
    let printed = fs::read_to_string(scratch.join("output")).unwrap();
    let printed = printed.lines().rev().take(120).collect::<Vec<_>>();
    let printed = printed.into_iter().rev().collect::<Vec<_>>().join("\n");
    let good = status.is_some_and(|status| status.success());
    assert!(
        good,
        "CLOUDSYNC_FSX_SEED={seed}, {counts:?}, {}: {printed}",
        scratch.display()
    );
    assert!(counts.archived >= 20 && counts.recalled >= 20, "{counts:?}");
    fs::remove_dir_all(scratch).unwrap();
}
