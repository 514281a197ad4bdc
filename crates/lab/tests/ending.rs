// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A lab leaves nothing behind, whether it is dropped, its owner exits or is killed.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use cloudsync_lab::{Backing, Lab, Layout, MountOptions, Options, until};

/// Longer than anything may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The processes and the directory of a lab.
struct Traces {
    dir: PathBuf,
    processes: Vec<Process>,
}

/// A process, distinct from a later one with the same pid.
#[derive(Debug, PartialEq)]
struct Process {
    pid: u32,
    /// Its start time in the kernel's units.
    started: u64,
}

impl Process {
    /// The process that has this pid now; it may be a zombie.
    fn of(pid: u32) -> Option<Self> {
        let started = stat(&format!("/proc/{pid}/stat"), 22)?.parse().ok()?;
        Some(Self { pid, started })
    }
}

/// A field of a stat file below /proc, by its number in proc(5), from 3 on.
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
        for Process { pid, started } in &self.processes {
            text.push_str(&format!("{pid} {started}\n"));
        }
        text + "end\n"
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix("end\n")?.lines();
        let dir = PathBuf::from(lines.next()?);
        let process = |line: &str| {
            let (pid, started) = line.split_once(' ')?;
            let (pid, started) = (pid.parse().ok()?, started.parse().ok()?);
            Some(Process { pid, started })
        };
        let processes = lines.map(process).collect::<Option<_>>()?;
        Some(Self { dir, processes })
    }

    /// Lists what still exists.
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
    /// The file in which it describes its lab.
    file: PathBuf,
}

impl Owner {
    fn kill(&mut self) {
        self.child.kill().expect("a signal");
    }

    /// Waits until it has ended, with a limit, as it may hang in its lab.
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

/// Runs the test `owns_a_lab` of this program as a separate process, until it has described its lab.
fn owner(end: &str) -> (Owner, Traces) {
    let file = std::env::temp_dir().join(format!("cloudsync-lab.{}.{end}", std::process::id()));
    let _ = fs::remove_file(&file);
    let program = std::env::current_exe().expect("our own path");
    let child = Command::new(program)
        .args(["--ignored", "--exact", "owns_a_lab", "--nocapture"])
        .env("LAB_OWNER_FILE", &file)
        .env("LAB_OWNER_END", end)
        .stdout(Stdio::null())
        // If it fails, the reason is printed there.
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the owner starts");
    let mut owner = Owner { child, file };
    let described = until(PATIENCE * 3, "the owner's lab", || {
        let ended = owner.child.try_wait().expect("our child");
        let text = fs::read_to_string(&owner.file).unwrap_or_default();
        (ended.is_some() || text.ends_with("end\n")).then_some((text, ended))
    });
    let (text, ended) = described.expect("the owner describes its lab");
    match Traces::read(&text) {
        Some(traces) => (owner, traces),
        None => panic!("the owner ({end}) wrote {text:?} about its lab and ended: {ended:?}"),
    }
}

/// Not a test: the process that [`owner`] starts.
#[test]
#[ignore = "started by the other tests"]
fn owns_a_lab() {
    let description = std::env::var_os("LAB_OWNER_FILE").unwrap();
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
        volume.freeze_brick(0).unwrap();
        let path = mount.path().join("other");
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let link = fs::read_link("/proc/thread-self").unwrap();
            send.send(link).unwrap();
            fs::write(path, b"never")
        });
        let link = receive.recv().unwrap();
        let link = PathBuf::from("/proc").join(link).join("stat");
        // Asleep in two checks in a row, while it can only be waiting for the mount.
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
    fs::write(description, Traces::of(lab).write()).unwrap();
    if end == "exit" {
        std::process::exit(0);
    }
    // The test kills this process; if it never does, the process ends by itself.
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
    // Dropping is synchronous: no waiting.
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
fn nothing_is_left_when_a_hanging_owner_is_killed() {
    let (mut owner, traces) = owner("hanging");
    owner.kill();
    traces.await_end();
    owner.wait();
}
