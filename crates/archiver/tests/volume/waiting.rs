// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync jobs` and `cloudsync top`, while a program waits for a recall.

use std::process::{Child, Command, Stdio};

use cloudsync_lab::until;
use serde_json::Value;

use crate::scene::{PATIENCE, Scene, lab, pattern};
use crate::terminal::{Gate, Terminal};

/// A volume with a file that a program reads, whose object is held back.
struct Waiting {
    scene: Scene,
    gate: Gate,
    reader: Child,
}

impl Waiting {
    fn new(name: &str) -> Self {
        let gate = Gate::new("GET ");
        let mut scene = Scene::new(name);
        scene.write("folder/file", &pattern(1, 40 << 20));
        scene.done(&["archive", "--older-than=0s", &scene.brick(0)]);
        scene
            .volume
            .set(
                "features.s3plugin-hostname",
                gate.hostname.trim_start_matches("--hostname="),
            )
            .unwrap();
        scene.remount();
        let mut command: Command = lab().command("md5sum");
        command
            .arg(scene.inside("folder/file"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let reader = command.spawn().unwrap();
        gate.reached.recv_timeout(PATIENCE).unwrap();
        Self {
            scene,
            gate,
            reader,
        }
    }

    /// The jobs, once the recall fetches and the reader waits.
    fn jobs(&self) -> (Value, String) {
        let mount = self.scene.inside("");
        until(PATIENCE, "the reader among the waiters", || {
            let text = self.scene.done(&["jobs", "--json", &mount]);
            let job: Value = serde_json::from_str(text.lines().next()?).unwrap();
            let waits = job["waiters"]
                .as_array()?
                .iter()
                .any(|waiter| waiter["command"] == "md5sum");
            (waits && job["size"].is_number()).then_some((job, text))
        })
        .unwrap()
    }

    fn end(mut self) {
        self.gate.open();
        let mut child = self.reader;
        let ended = until(PATIENCE, "the end of the reader", || {
            child.try_wait().unwrap()
        });
        assert!(ended.unwrap().success());
        self.scene
            .volume
            .await_local("folder/file", "the end of the recall");
        let mount = self.scene.inside("");
        assert_eq!(self.scene.done(&["jobs", &mount]), "");
        self.scene.remount();
        assert!(self.scene.read("folder/file") == pattern(1, 40 << 20));
    }
}

#[test]
fn jobs_name_the_file_and_who_waits() {
    let waiting = Waiting::new("waiters");
    let mount = waiting.scene.inside("");
    let (job, text) = waiting.jobs();
    assert_eq!(job["path"], "/folder/file", "{text}");
    assert_eq!(job["size"], 40 << 20, "{text}");
    assert_eq!(job["waiters"][0]["operation"], "read", "{text}");
    let text = waiting.scene.done(&["jobs", &mount]);
    assert!(
        text.starts_with("/folder/file: ") && text.contains("read by md5sum ("),
        "{text}"
    );
    let text = waiting.scene.done(&["top", "--once", &mount]);
    assert!(
        text.contains("1 files, ") && text.contains("/folder/file  md5sum ("),
        "{text}"
    );
    let text = waiting.scene.done(&["top", "--once", "--json", &mount]);
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["event"], &last["jobs"]),
        (&"client".into(), &1.into()),
        "{text}"
    );
    // Not a mount, and not root.
    let outcome = waiting.scene.cloudsync(&["jobs", "/tmp", &mount]);
    assert_eq!(outcome.code(), Some(1), "{outcome}");
    assert!(
        outcome
            .to_string()
            .contains("not the root of a mounted volume"),
        "{outcome}"
    );
    assert!(outcome.text().contains("/folder/file"), "{outcome}");
    assert_eq!(waiting.scene.cloudsync(&["top", "/tmp"]).code(), Some(3));
    waiting.end();
}

#[test]
fn top_draws_in_a_narrow_terminal_until_ctrl_c() {
    let waiting = Waiting::new("top");
    let mount = waiting.scene.inside("");
    waiting.jobs();
    let mut terminal = Terminal::start("top", &["top", "--interval=1s", &mount]);
    // Drawn at least twice: the cursor goes up in between.
    until(PATIENCE, "two frames", || {
        let output = terminal.output();
        (output.matches("operations wait").count() > 1 && output.contains("\x1b[")).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", terminal.output()));
    terminal.press_until_it_ends();
    assert!(
        terminal.output().contains("folder/file"),
        "{}",
        terminal.output()
    );
    waiting.end();
}
