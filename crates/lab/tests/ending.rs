// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a lab leaves behind: nothing, whether it is dropped, its owner exits or is killed.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use cloudsync_lab::{Backing, Lab, Layout, MountOptions, Options, until};

/// Longer than anything may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Everything by which a lab can be told.
struct Traces {
    dir: PathBuf,
    processes: Vec<Process>,
}

/// A process, and no other that gets its pid later.
#[derive(Debug, PartialEq)]
struct Process {
    pid: u32,
    /// When it began, as the kernel counts.
    begun: u64,
}

impl Process {
    /// The process that has this pid now, be it only to be reaped.
    fn of(pid: u32) -> Option<Self> {
        let begun = stat(&format!("/proc/{pid}/stat"), 22)?.parse().ok()?;
        Some(Self { pid, begun })
    }
}

/// A field of a stat file below /proc, by its number in proc(5); from the third on.
fn stat(path: &str, number: usize) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split_whitespace().nth(number - 3).map(str::to_owned)
}

impl Traces {
    fn of(lab: &Lab) -> Self {
        let pids = lab.processes();
        Self {
            dir: lab.dir().to_owned(),
            processes: pids.into_iter().filter_map(Process::of).collect(),
        }
    }

    fn write(&self) -> String {
        let mut text = format!("{}\n", self.dir.display());
        for Process { pid, begun } in &self.processes {
            text.push_str(&format!("{pid} {begun}\n"));
        }
        text + "end\n"
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix("end\n")?.lines();
        let dir = PathBuf::from(lines.next()?);
        let process = |line: &str| {
            let (pid, begun) = line.split_once(' ')?;
            let (pid, begun) = (pid.parse().ok()?, begun.parse().ok()?);
            Some(Process { pid, begun })
        };
        let processes = lines.map(process).collect::<Option<_>>()?;
        Some(Self { dir, processes })
    }

    /// What is still there.
    fn left(&self) -> String {
        let mut left = String::new();
        for process in &self.processes {
            let pid = process.pid;
            if Process::of(pid).as_ref() == Some(process) {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                left.push_str(&format!("process {pid} {name}"));
            }
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
        let gone = until(PATIENCE, "the lab's end", || {
            self.left().is_empty().then_some(())
        });
        if let Err(failure) = gone {
            panic!("{failure}\n{}", self.left());
        }
    }
}

/// A process that owns a lab.
struct Owner {
    child: Child,
    /// Where it tells of its lab.
    file: PathBuf,
}

impl Owner {
    fn kill(&mut self) {
        self.child.kill().expect("a signal");
    }

    /// Waits for its end: not for ever, as it may hang in its lab.
    fn wait(&mut self) -> ExitStatus {
        until(PATIENCE, "the owner's end", || {
            self.child.try_wait().expect("our child")
        })
        .expect("the owner ends")
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = until(PATIENCE, "the owner's end", || {
            self.child.try_wait().ok().flatten()
        });
        let _ = fs::remove_file(&self.file);
    }
}

/// Runs the test `owns_a_lab` of this program as a process of its own, until it says what its
/// lab is made of.
fn owner(end: &str) -> (Owner, Traces) {
    let file = std::env::temp_dir().join(format!("cloudsync-lab.{}.{end}", std::process::id()));
    let _ = fs::remove_file(&file);
    let program = std::env::current_exe().expect("our own path");
    let child = Command::new(program)
        .args(["--ignored", "--exact", "owns_a_lab", "--nocapture"])
        .env("LAB_OWNER_FILE", &file)
        .env("LAB_OWNER_END", end)
        .stdout(Stdio::null())
        // If it fails, it says there why.
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the owner starts");
    let mut owner = Owner { child, file };
    let told = until(PATIENCE * 3, "the owner's lab", || {
        let ended = owner.child.try_wait().expect("our child");
        let text = fs::read_to_string(&owner.file).unwrap_or_default();
        (ended.is_some() || text.ends_with("end\n")).then_some((text, ended))
    });
    let (text, ended) = told.expect("the owner tells of its lab");
    match Traces::read(&text) {
        Some(traces) => (owner, traces),
        None => panic!("the owner ({end}) told {text:?} of its lab and ended: {ended:?}"),
    }
}

/// Not a test: the process that [`owner`] starts.
#[test]
#[ignore = "started by the others"]
fn owns_a_lab() {
    let told = std::env::var_os("LAB_OWNER_FILE").unwrap();
    let end = std::env::var("LAB_OWNER_END").unwrap();
    let lab = Lab::shared(Options::default);
    let volume = lab.volume("owned", Layout::Single, Backing::Ram).unwrap();
    let mount = volume.mount(&MountOptions::default()).unwrap();
    let file = mount.path().join("file");
    mount.within(PATIENCE, "write", move || {
        fs::write(file, b"bytes").unwrap()
    });
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
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let link = fs::read_link("/proc/thread-self").unwrap();
            send.send(link).unwrap();
            fs::write(path, b"never")
        });
        let link = receive.recv().unwrap();
        let link = PathBuf::from("/proc").join(link).join("stat");
        // Asleep at two looks in a row, while it has nothing to wait for but the mount.
        let mut asleep = 0;
        until(PATIENCE, "the write to hang", || {
            assert!(!thread.is_finished(), "the write does not hang");
            let state = stat(&link.to_string_lossy(), 3).unwrap_or_default();
            asleep = if state == "S" || state == "D" {
                asleep + 1
            } else {
                0
            };
            (asleep == 2).then_some(())
        })
        .unwrap();
    }
    fs::write(told, Traces::of(lab).write()).unwrap();
    if end == "exit" {
        std::process::exit(0);
    }
    // To be killed; if that never comes, it ends by itself.
    std::thread::sleep(PATIENCE * 2);
}

#[test]
fn nothing_is_left_after_drop() {
    let lab = Lab::start(Options::default()).unwrap();
    let volume = lab
        .volume("left", Layout::Replica(3), Backing::Sized(32 << 20))
        .unwrap();
    let mount = volume.mount(&MountOptions::default()).unwrap();
    let file = mount.path().join("file");
    mount.within(PATIENCE, "write", move || {
        fs::write(file, b"bytes").unwrap()
    });
    lab.s3()
        .unwrap()
        .bucket("left")
        .unwrap()
        .put("key", b"bytes")
        .unwrap();
    let traces = Traces::of(&lab);
    assert!(traces.processes.len() > 8, "{:?}", traces.processes);
    let mut zombies = String::new();
    let reaped = until(PATIENCE, "pid 1 to reap", || {
        zombies = lab.sh("ps -eo stat,pid,comm | grep ^Z || true").unwrap();
        zombies.is_empty().then_some(())
    });
    assert!(reaped.is_ok(), "{zombies}");
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
    assert!(owner.wait().success());
    traces.await_end();
}

#[test]
fn nothing_is_left_when_the_owner_is_killed() {
    let (mut owner, traces) = owner("killed");
    assert_ne!(traces.left(), "");
    owner.kill();
    owner.wait();
    traces.await_end();
}

#[test]
fn nothing_is_left_when_the_owner_is_killed_while_it_hangs() {
    let (mut owner, traces) = owner("hanging");
    owner.kill();
    traces.await_end();
    owner.wait();
}
