// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A brick reads a file's size and marks one after the other, while another client's commit changes them. With one of the
//! brick's threads slowed down, a cold file seems to have neither bytes nor a size, which must not be taken for damage.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use cloudsync_lab::{Mount, MountOptions, machine, until};

use crate::scene::{PATIENCE, Scene, assert_same, pattern};

/// More than is recalled without asking for the file's state first.
const LENGTH: usize = 400_000;
const ROUNDS: u64 = 25;

/// Delays what one thread of a process reads of attributes, until it is dropped.
struct Slow(Child);

impl Slow {
    fn down(thread: &str) -> Self {
        let calls = "getxattr,lgetxattr,fgetxattr";
        let trace = format!("trace={calls}");
        let inject = format!("inject={calls}:delay_exit=30000");
        let child = Command::new("strace")
            .args(["-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject])
            .args(["-p", thread])
            .stderr(Stdio::null())
            .spawn();
        let child = child.unwrap();
        let traced = || {
            let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
            let pid = format!("TracerPid:\t{}", child.id());
            status.lines().any(|line| line == pid).then_some(())
        };
        until(PATIENCE, "strace", traced).unwrap();
        Self(child)
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        // The brick goes on.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads the file several times; the first reads come while another client recalls it.
fn read(mount: &Mount, name: &str, bytes: &[u8], after: Duration) {
    thread::sleep(after);
    let path = mount.path().join(name);
    for _ in 0..6 {
        assert_eq!(fs::metadata(&path).unwrap().len(), LENGTH as u64, "{name}");
        assert_same(&fs::read(&path).unwrap(), bytes, name);
    }
}

#[test]
fn a_status_that_is_read_during_a_commit_is_no_damage() {
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(!machine::is_required(), "scripts/deps.sh installs strace");
        return eprintln!("left out: no strace here");
    }
    let scene = Scene::new("torn");
    let bytes = pattern(3, LENGTH);
    // Each call asks the brick.
    let options = [
        "direct-io-mode=enable",
        "attribute-timeout=0",
        "entry-timeout=0",
    ];
    let options = options.iter().fold(MountOptions::default(), |all, option| {
        all.arg(format!("--{option}"))
    });
    let mounts: Vec<_> = (0..3)
        .map(|_| scene.volume.mount(&options).unwrap())
        .collect();
    // The brick starts as many threads as have something to do.
    let names: Vec<_> = (0..ROUNDS).map(|round| format!("file-{round}")).collect();
    names.iter().for_each(|name| scene.write(name, &bytes));
    let brick = scene.volume.brick_pid(0).unwrap();
    let is_worker = |thread: &fs::DirEntry| {
        let name = fs::read_to_string(thread.path().join("comm"));
        name.is_ok_and(|name| name.contains("iotwr"))
    };
    let mut threads = fs::read_dir(format!("/proc/{brick}/task"))
        .unwrap()
        .flatten();
    let worker = threads.find(is_worker).unwrap().file_name();
    let _slow = Slow::down(worker.to_str().unwrap());
    for (round, name) in (0..).zip(&names) {
        scene.archive(name);
        thread::scope(|scope| {
            for (number, mount) in (0..).zip(&mounts) {
                let after = Duration::from_millis(number * (round % 8) * 3);
                let bytes = &bytes;
                scope.spawn(move || read(mount, name, bytes, after));
            }
        });
    }
}
