// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a lab leaves behind: nothing, whether it is dropped, its owner exits or is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cloudsync_lab::{Backing, Lab, Layout, MountOptions, Options, until};

/// Everything by which a lab can be told.
struct Traces {
    dir: PathBuf,
    pids: Vec<u32>,
}

impl Traces {
    fn of(lab: &Lab) -> Self {
        Self {
            dir: lab.dir().to_owned(),
            pids: lab.processes(),
        }
    }

    /// What is still there.
    fn left(&self) -> String {
        let mut left = String::new();
        for pid in self
            .pids
            .iter()
            .filter(|pid| Path::new(&format!("/proc/{pid}")).exists())
        {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            left.push_str(&format!("process {pid} {name}"));
        }
        if self.dir.exists() {
            left.push_str(&format!("directory {}\n", self.dir.display()));
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        if mounts.contains(&*self.dir.to_string_lossy()) {
            left.push_str("a mount\n");
        }
        left
    }

    fn await_end(&self) {
        let gone = until(Duration::from_secs(20), "the lab's end", || {
            self.left().is_empty().then_some(())
        });
        if let Err(failure) = gone {
            panic!("{failure}\n{}", self.left());
        }
    }
}

/// Runs the test `owns_a_lab` of this program as a process of its own, until it says what its
/// lab is made of.
fn owner(end: &str) -> (Child, Traces) {
    let file = std::env::temp_dir().join(format!("cloudsync-lab.{}.{end}", std::process::id()));
    let _ = fs::remove_file(&file);
    let program = std::env::current_exe().expect("our own path");
    let mut child = Command::new(program)
        .args(["--ignored", "--exact", "owns_a_lab", "--nocapture"])
        .env("LAB_OWNER_FILE", &file)
        .env("LAB_OWNER_END", end)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the owner starts");
    let text = until(Duration::from_secs(90), "the owner's lab", || {
        let ended = child.try_wait().ok().flatten().is_some();
        let text = fs::read_to_string(&file).unwrap_or_default();
        (ended || text.ends_with("end\n")).then_some(text)
    });
    let _ = fs::remove_file(&file);
    let text = text.expect("the owner tells of its lab");
    let mut lines = text.lines();
    let dir = PathBuf::from(lines.next().expect("the directory"));
    let pids = lines.filter_map(|line| line.parse().ok()).collect();
    (child, Traces { dir, pids })
}

/// Not a test: the process that [`owner`] starts.
#[test]
#[ignore = "started by the others"]
fn owns_a_lab() {
    let file = std::env::var_os("LAB_OWNER_FILE").unwrap();
    let end = std::env::var("LAB_OWNER_END").unwrap();
    let lab = Lab::shared(Options::default);
    let volume = lab.volume("owned", Layout::Single, Backing::Ram).unwrap();
    let mount = volume.mount(&MountOptions::default()).unwrap();
    fs::write(mount.path().join("file"), b"bytes").unwrap();
    if end == "hanging" {
        // A frozen server and a thread that hangs in the mount must not keep the lab alive.
        lab.s3().unwrap().freeze().unwrap();
        let brick = volume.brick_pid(0).unwrap().to_string();
        assert!(
            Command::new("kill")
                .args(["-STOP", &brick])
                .status()
                .unwrap()
                .success()
        );
        let path = mount.path().join("other");
        std::thread::spawn(move || fs::write(path, b"never"));
        std::thread::sleep(Duration::from_millis(300));
    }
    let pids: Vec<_> = lab.processes().iter().map(ToString::to_string).collect();
    let text = format!("{}\n{}\nend\n", lab.dir().display(), pids.join("\n"));
    fs::write(file, text).unwrap();
    if end == "exit" {
        std::process::exit(0);
    }
    std::thread::sleep(Duration::from_secs(120));
}

#[test]
fn nothing_is_left_after_drop() {
    let lab = Lab::start(Options::default()).unwrap();
    let volume = lab
        .volume("left", Layout::Replica(3), Backing::Sized(32 << 20))
        .unwrap();
    let mount = volume.mount(&MountOptions::default()).unwrap();
    fs::write(mount.path().join("file"), b"bytes").unwrap();
    lab.s3()
        .unwrap()
        .bucket("left")
        .unwrap()
        .put("key", b"bytes")
        .unwrap();
    let traces = Traces::of(&lab);
    assert!(traces.pids.len() > 8, "{:?}", traces.pids);
    let zombies = lab.sh("ps -eo stat,comm | grep ^Z || true").unwrap();
    assert_eq!(zombies, "", "pid 1 reaps");
    drop((mount, volume));
    assert_eq!(
        fs::read_dir(lab.outer(lab.scratch("bricks")))
            .unwrap()
            .count(),
        0
    );
    drop(lab);
    // Synchronous: no waiting.
    assert_eq!(traces.left(), "");
}

#[test]
fn nothing_is_left_when_the_owner_exits() {
    let (mut owner, traces) = owner("exit");
    assert!(owner.wait().unwrap().success());
    traces.await_end();
}

#[test]
fn nothing_is_left_when_the_owner_is_killed() {
    let (mut owner, traces) = owner("killed");
    assert_ne!(traces.left(), "");
    owner.kill().unwrap();
    owner.wait().unwrap();
    traces.await_end();
}

#[test]
fn nothing_is_left_when_the_owner_is_killed_while_it_hangs() {
    let (mut owner, traces) = owner("hanging");
    owner.kill().unwrap();
    traces.await_end();
    owner.wait().unwrap();
}
