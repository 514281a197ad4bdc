// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! "Reads are slow since this morning": each cause in docs/TROUBLESHOOTING.md is found by the commands that it names.

use std::process::Stdio;
use std::sync::Arc;

use cloudsync_lab::{Mount, MountOptions, until};

use crate::history::logs;
use crate::scene::{PATIENCE, Scene, lab, pattern};
use crate::store::server;
use crate::terminal::Gate;

const LENGTH: usize = 200_000;
const HOST: &str = "features.s3plugin-hostname";

/// A volume with so many cold files, as a new client sees it. Requests are not tried again for long.
fn cold(name: &str, files: u64) -> Scene {
    let mut scene = Scene::new(name);
    for number in 0..files {
        scene.write(&format!("project/{number}"), &pattern(number, LENGTH));
    }
    scene.done(&["archive", "--older-than=0s", &scene.brick(0)]);
    let id = "features.cloudsync-store-id";
    scene
        .volume
        .set(id, "retries=0,connect-timeout=1s")
        .unwrap();
    scene.remount();
    scene
}

/// A user's read, which fails.
fn fails(scene: &Scene, name: &str) {
    let path = scene.path(name);
    assert!(scene.within("a read", move || std::fs::read(path)).is_err());
}

/// What the commands of the document say.
struct Said {
    history: String,
    failed: String,
    metrics: String,
    check: String,
}

impl Said {
    fn of(scene: &Scene) -> Self {
        let (mount, logs) = (scene.inside(""), logs(scene));
        let history = |more: &str| {
            let args = ["history", "--since", "12h", "--logs", &logs, more, &mount];
            scene.done(&args)
        };
        Self {
            history: history("--summary"),
            failed: history("--failed"),
            metrics: scene.done(&["metrics", &mount]),
            check: scene.cloudsync(&["check", &mount]).to_string(),
        }
    }

    /// The value of a metric, with all labels but those of the mount and the volume.
    fn metric(&self, name: &str, label: &str) -> f64 {
        let line = self
            .metrics
            .lines()
            .find(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
        let value = line.and_then(|line| line.rsplit(' ').next());
        let value = value.unwrap_or_else(|| panic!("no {name}: {}", self.metrics));
        value.parse().unwrap()
    }
}

#[track_caller]
fn assert_says(text: &str, words: &str) {
    assert!(text.contains(words), "{words}: {text}");
}

#[test]
fn a_store_that_throttles() {
    let mut scene = cold("throttles", 1);
    scene
        .volume
        .set(HOST, &server(|_| Some("503 Slow Down")))
        .unwrap();
    scene.remount();
    fails(&scene, "project/0");
    let said = Said::of(&scene);
    assert_says(&said.history, "failed, busy: ");
    assert!(said.metric("cloudsync_store_throttled_total", "") >= 1.0);
    assert_says(&said.check, "store: put an object: the store is too busy");
    assert_says(&scene.mount().log(), "[MSGID: 191015]");
}

#[test]
fn a_store_that_is_down() {
    let mut scene = cold("down", 1);
    scene.volume.set(HOST, "http://10.99.0.1:9").unwrap();
    scene.remount();
    fails(&scene, "project/0");
    let said = Said::of(&scene);
    assert_says(&said.history, "failed, unreachable: ");
    assert_says(&said.failed, " failed /project/0 (");
    assert_says(&said.check, "store: put an object: store unreachable: ");
    assert_says(&scene.mount().log(), "[MSGID: 191014]");
}

#[test]
fn a_key_that_has_expired() {
    let mut scene = cold("expired", 1);
    let key = ("features.s3plugin-keyid", "NOLONGERVALID");
    scene.volume.set(key.0, key.1).unwrap();
    scene.remount();
    fails(&scene, "project/0");
    let said = Said::of(&scene);
    assert_says(&said.history, "failed, denied: ");
    assert_says(
        &said.check,
        "store: put an object: the store refuses the credentials: ",
    );
    assert_says(&scene.mount().log(), "[MSGID: 191012]");
}

#[test]
fn a_job_that_reads_everything() {
    let scene = cold("everything", 20);
    let mut command = lab().command("setpriv");
    command
        .args(["--reuid=1234", "--clear-groups", "grep", "-r", "nothing"])
        .arg(scene.inside("project"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    until(PATIENCE, "the end of grep", || child.try_wait().unwrap()).unwrap();
    for number in 0..20 {
        scene
            .volume
            .await_local(&format!("project/{number}"), "the end of the recall");
    }
    let said = Said::of(&scene);
    assert_says(&said.history, "recalled 20 (3.81 MiB)");
    // Also of those for which the kernel read ahead.
    assert_says(&said.history, "  by grep, user 1234: 20 (3.81 MiB)");
}

#[test]
fn a_brick_that_is_full() {
    let mut scene = cold("no-room", 2);
    let keep = ("features.cloudsync-product-id", "keep-free=99%");
    scene.volume.set(keep.0, keep.1).unwrap();
    scene.remount();
    // Reads are answered from the store, and changes fail.
    assert!(scene.read("project/0") == pattern(0, LENGTH));
    let path = scene.path("project/1");
    let append = move || {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().append(true).open(path)?;
        file.write_all(b"more")?;
        file.sync_all()
    };
    assert!(scene.within("append", append).is_err());
    let said = Said::of(&scene);
    assert_says(&said.history, "failed, full: ");
    assert!(said.metric("cloudsync_limited_total", "by=\"room\"") >= 1.0);
    assert_says(&said.failed, "/project/1 (");
    assert_says(&scene.mount().log(), "[MSGID: 190031]");
}

#[test]
fn another_client_that_holds_the_lock() {
    let mut scene = cold("lock", 1);
    let gate = Gate::new("GET ");
    let host = gate.hostname.trim_start_matches("--hostname=").to_owned();
    scene.volume.set(HOST, &host).unwrap();
    scene.remount();
    let other = Arc::new(scene.volume.mount(&MountOptions::default()).unwrap());
    let read = |mount: &Mount| {
        let mut command = lab().command("md5sum");
        command
            .arg(mount.inside().join("project/0"))
            .stdout(Stdio::null());
        command.spawn().unwrap()
    };
    let mut holds = read(&other);
    gate.reached.recv_timeout(PATIENCE).unwrap();
    let mut waits = read(scene.mount());
    let says = |mount: &Mount, words: &str| {
        let path = mount.inside().display().to_string();
        until(PATIENCE, words, || {
            let text = scene.done(&["jobs", &path]);
            text.contains(words).then_some(text)
        })
        .unwrap()
    };
    // A waiter asks for the lock again and again, and the bricks in between.
    let text = says(
        scene.mount(),
        "waits for the lock, which another client has",
    );
    assert_says(&text, "/project/0: ");
    says(&other, "/project/0: ");
    gate.open();
    for child in [&mut holds, &mut waits] {
        let ended = until(PATIENCE, "the end of a reader", || {
            child.try_wait().unwrap()
        });
        assert!(ended.unwrap().success());
    }
}
