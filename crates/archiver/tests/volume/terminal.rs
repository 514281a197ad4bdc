// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests Ctrl-C in a real terminal, where it reaches every process of the program's group.

use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use cloudsync_format::object::Key;
use cloudsync_lab::until;

use crate::scene::{PATIENCE, PROGRAM, Scene, lab, pattern};
use crate::store::relay_to_store;

/// How often a key is pressed until the program ends.
const AGAIN: Duration = Duration::from_millis(200);

/// The program in a terminal of its own.
pub(crate) struct Terminal {
    script: Child,
    output: std::path::PathBuf,
}

impl Terminal {
    pub(crate) fn start(name: &str, args: &[&str]) -> Self {
        let output = lab().outer(lab().scratch(&format!("terminal-{name}")));
        let quoted = args.iter().map(|arg| format!("'{arg}'"));
        let line = format!("{PROGRAM} {}", quoted.collect::<Vec<_>>().join(" "));
        let mut command = lab().command("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(fs::File::create(&output).unwrap())
            .stderr(Stdio::null());
        let script = command.spawn().unwrap();
        Self { script, output }
    }

    fn press_ctrl_c(&self) {
        let mut keys = self.script.stdin.as_ref().unwrap();
        // It fails if the program has just ended.
        let _ = keys.write_all(b"\x03");
    }

    /// One key may come so soon after the other that both are one signal.
    pub(crate) fn press_until_it_ends(&mut self) {
        let ended = until(PATIENCE, "the end of the program", || {
            self.press_ctrl_c();
            thread::sleep(AGAIN);
            self.script.try_wait().unwrap()
        });
        assert!(ended.is_ok(), "{}", self.output());
    }

    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap()).into_owned()
    }

    /// The exit code, once the program has ended.
    fn ended(&mut self) -> Option<i32> {
        let status = until(PATIENCE, "the end of the program", || {
            self.script.try_wait().unwrap()
        });
        status
            .unwrap_or_else(|failure| panic!("{failure}\n{}", self.output()))
            .code()
    }
}

/// A relay to the store that holds requests back, of this method and with this in their path, until it is opened.
pub(crate) struct Gate {
    pub(crate) hostname: String,
    pub(crate) reached: mpsc::Receiver<()>,
    closed: Arc<AtomicBool>,
}

impl Gate {
    pub(crate) fn new(request: &'static str) -> Self {
        let (send, reached) = mpsc::channel();
        let send = std::sync::Mutex::new(send);
        let closed = Arc::new(AtomicBool::new(true));
        let holds = Arc::clone(&closed);
        let (_, hostname) = relay_to_store(move |bytes| {
            if bytes.starts_with(request.as_bytes()) {
                let _ = send.lock().unwrap().send(());
                while holds.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(20));
                }
            }
        });
        Self {
            hostname: format!("--hostname={hostname}"),
            reached,
            closed,
        }
    }

    pub(crate) fn open(&self) {
        self.closed.store(false, Ordering::Relaxed);
    }

    /// Also forgets what it has held.
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.reached.try_iter().count();
    }
}

/// Runs the command until the gate holds a request of it, presses Ctrl-C, and opens the gate: what was begun must be
/// finished. Then again, pressing until the program ends while the gate is closed. Returns the first run's output.
fn first_and_second(name: &str, request: &'static str, args: &[&str]) -> String {
    // Or the store's timeouts would open the gate.
    let patient = "--store-id=read-timeout=1d,stall-timeout=1d";
    let mut first = String::new();
    for again in [false, true] {
        let gate = Gate::new(request);
        let args = [args, &[&gate.hostname, patient]].concat();
        let mut terminal = Terminal::start(&format!("{name}-{again}"), &args);
        let reached = gate.reached.recv_timeout(PATIENCE);
        assert!(reached.is_ok(), "{args:?}\n{}", terminal.output());
        terminal.press_ctrl_c();
        if again {
            terminal.press_until_it_ends();
        } else {
            gate.open();
        }
        assert_eq!(terminal.ended(), Some(130), "{name}\n{}", terminal.output());
        if !again {
            first = terminal.output();
        }
        gate.open();
    }
    first
}

#[test]
fn ctrl_c_finishes_what_archive_has_begun() {
    let scene = Scene::new("ctrl-c");
    for n in 0..40 {
        scene.write(&format!("f{n}"), &pattern(n, 3000));
    }
    let brick = scene.brick(0);
    let args = ["archive", "--older-than=0s", "--jobs=2", "--no-progress"];
    let output = first_and_second("archive", "PUT ", &[&args[..], &[&brick]].concat());
    let cold = (0..40).filter(|n| scene.is_cold(&format!("f{n}"))).count();
    assert!((1..40).contains(&cold), "{cold}\n{output}");
    assert!(output.contains(" 0 failed;"), "{output}");
    println!("{}", output.trim());
    scene.done(&["archive", "--older-than=0s", &brick]);
    for n in 0..40 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, 3000), "f{n}");
    }
}

#[test]
fn ctrl_c_ends_every_other_command() {
    let scene = Scene::new("ctrl-c-others");
    for n in 0..20 {
        scene.write(&format!("f{n}"), &pattern(n, 3000));
    }
    let (brick, mount) = (scene.brick(0), scene.inside(""));
    scene.done(&["archive", "--older-than=0s", &brick]);
    let keys = scene.bucket.list("").unwrap();
    let volume = Key::parse(&keys[0]).unwrap().volume.to_owned();
    for (name, request, args) in [
        ("verify", "HEAD ", &["verify", &brick][..]),
        ("deep", "GET ", &["verify", "--deep", "--jobs=2", &brick]),
        ("gc", "GET ", &["gc", "--grace=0s", &brick]),
        (
            "rebuild",
            "HEAD ",
            &["rebuild", "-n", &format!("--from={volume}"), &mount],
        ),
    ] {
        let output = first_and_second(name, request, args);
        assert!(!output.contains("cloudsync: failed"), "{name}\n{output}");
        assert!(!output.contains("not checked"), "{name}\n{output}");
        println!("{name}: {}", output.trim());
    }
    assert_eq!(scene.bucket.list("").unwrap().len(), 20);
    scene.done(&["verify", "--deep", &brick]);
}

/// The recalls are the user's mount's, and go on; only the program that waits for them ends.
#[test]
fn ctrl_c_ends_waiting_for_recalls() {
    let mut scene = Scene::new("ctrl-c-recall");
    // More than are recalled at once.
    let name = |n: u64| format!("{}/f{n}", if n.is_multiple_of(2) { "a" } else { "b" });
    for n in 0..40 {
        scene.write(&name(n), &pattern(n, 1_000_000));
    }
    scene.done(&["archive", "--older-than=0s", &scene.brick(0)]);
    let gate = Gate::new("GET ");
    let hostname = gate.hostname.trim_start_matches("--hostname=");
    let settings = [
        ("features.s3plugin-hostname", hostname),
        (
            "features.cloudsync-store-id",
            "read-timeout=1d,stall-timeout=1d",
        ),
    ];
    scene.volume.set_all(&settings).unwrap();
    scene.remount();
    let recall = |folder| ["recall", "--recursive", "--wait", folder];
    let (a, b) = (scene.inside("a"), scene.inside("b"));
    let prepare = ["prepare-off", "--recall", scene.volume.name()];
    for (args, again) in [
        (&recall(&a)[..], false),
        (&prepare, true),
        (&recall(&b), true),
    ] {
        gate.close();
        let mut terminal = Terminal::start(&format!("{}-{again}", args[0]), args);
        gate.reached.recv_timeout(PATIENCE).unwrap();
        terminal.press_ctrl_c();
        if again {
            terminal.press_until_it_ends();
        } else {
            gate.open();
        }
        assert_eq!(terminal.ended(), Some(130), "{}", terminal.output());
        println!("{}", terminal.output().trim());
    }
    gate.open();
    for n in 0..40 {
        assert!(scene.read(&name(n)) == pattern(n, 1_000_000), "f{n}");
    }
}

/// A pause of `--files-per-second` or `--bytes-per-second` ends at once, and what was begun is finished.
#[test]
fn signal_ends_pauses() {
    let scene = Scene::new("pauses");
    for n in 0..4 {
        scene.write(&format!("f{n}"), &pattern(n, 3_000_000));
    }
    let brick = scene.brick(0);
    let paused = |limit: &str, begun: &dyn Fn() -> bool| {
        let args = ["archive", "--older-than=0s", "--jobs=1", limit, &brick];
        let mut run = scene.start(&args);
        until(PATIENCE, "a pause", || begun().then_some(())).unwrap();
        assert!(scene.signal("INT"));
        let status = until(PATIENCE, "the end", || run.try_wait().unwrap()).unwrap();
        assert_eq!(status.code(), Some(130), "{limit}");
        (0..4).filter(|n| scene.is_cold(&format!("f{n}"))).count()
    };
    // A file an hour: the second one waits, and is left alone.
    let any_cold = || (0..4).any(|n| scene.is_cold(&format!("f{n}")));
    assert_eq!(paused("--files-per-second=0.0003", &any_cold), 1);
    // A file takes half an hour: it is finished without the limit.
    let noted = || {
        let begun = |name: &String| scene.marks(name).contains("cloudsync.last");
        let names = (0..4).map(|n| format!("f{n}"));
        names.filter(begun).any(|name| !scene.is_cold(&name))
    };
    assert_eq!(paused("--bytes-per-second=2K", &noted), 2);
}
