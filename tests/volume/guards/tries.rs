// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The program that tries the actions, and its results.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::OnceLock;
use std::{path::PathBuf, thread};

use cloudsync_lab::ADDRESS;

use crate::native::compiled;
use crate::scene::{Scene, lab};

/// The ways to truncate a file, to zero or to its first 1000 bytes, and two that change its second 1000.
pub(super) const ACTIONS: &[&str] = &[
    "truncate-0",
    "truncate-n",
    "ftruncate-0",
    "ftruncate-n",
    "open",
    "create",
    "held-0",
    "held-n",
    "write",
    "discard",
];

/// The expected content after an action.
pub(super) fn after(action: &str, verdict: &str, mut bytes: Vec<u8>) -> Vec<u8> {
    match action {
        _ if verdict != "done" => {}
        "write" => bytes[1000..1007].copy_from_slice(b"WRITTEN"),
        "discard" => bytes[1000..2000].fill(0),
        action if action.ends_with("-n") => bytes.truncate(1000),
        _ => bytes.clear(),
    }
    bytes
}

/// How the program accesses the volume.
#[derive(Debug, Clone, Copy)]
pub(super) enum Client {
    Fuse,
    Api,
}

impl Client {
    pub(super) const ALL: [Self; 2] = [Self::Fuse, Self::Api];

    pub(super) fn file(self, state: &str, action: &str) -> String {
        format!("{}/{action}", self.folder(state))
    }

    fn folder(self, state: &str) -> String {
        match self {
            Self::Fuse => format!("fuse-{state}"),
            Self::Api => format!("api-{state}"),
        }
    }
}

/// The running program; it has its files open and waits for the signal to start.
#[derive(Debug)]
pub(super) struct Tries {
    pub(super) client: Client,
    child: Child,
    output: Option<BufReader<ChildStdout>>,
}

impl Tries {
    pub(super) fn start(scene: &Scene, client: Client, state: &str, user: u32) -> Self {
        static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
        let program = PROGRAM.get_or_init(|| compiled("guards", &["-lgfapi"]));
        let folder = client.folder(state);
        let (user, volume) = (user.to_string(), scene.volume.name());
        let log = lab().scratch(&format!("log/guards-{volume}-{folder}.log"));
        let mut command = lab().command(program);
        match client {
            Client::Fuse => command.args(["fuse", &user]),
            Client::Api => command.args([volume, ADDRESS, log.to_str().unwrap(), &user]),
        };
        match client {
            Client::Fuse => command.arg(scene.mount().inside().join(&folder)),
            Client::Api => command.arg(format!("/{folder}")),
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (first, output) = scene.within("the program's start", move || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            (line, output)
        });
        assert_eq!(first, "ready\n", "{command:?}");
        Self {
            client,
            child,
            output: Some(output),
        }
    }

    /// Starts the actions and returns the outcome of each.
    pub(super) fn verdicts(&mut self, scene: &Scene) -> HashMap<String, String> {
        let mut input = self.child.stdin.take().unwrap();
        input.write_all(b"\n").unwrap();
        let output = self.output.take().unwrap();
        let lines = scene.within("the program's tries", move || {
            let lines = output.lines().map_while(Result::ok);
            lines.collect::<Vec<_>>()
        });
        let verdict = |line: &String| {
            let (action, verdict) = line.split_once(' ').unwrap();
            (action.to_owned(), verdict.to_owned())
        };
        let verdicts: HashMap<_, _> = lines.iter().map(verdict).collect();
        assert_eq!(verdicts.len(), ACTIONS.len(), "{verdicts:?}");
        verdicts
    }
}

impl Drop for Tries {
    fn drop(&mut self) {
        // It exits at the end of its input.
        drop(self.child.stdin.take());
        if thread::panicking() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
