// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Clients are killed at random moments of recalls and handshakes, many times; each time the file must read correctly.
//! `CLOUDSYNC_KILLS=10000` sets the number of recalls to interrupt.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::marks::has;
use cloudsync_lab::{ADDRESS, Layout, Mount};
use rustix::process::{Pid, Signal, kill_process};

use super::{Stage, handshake, lab, within};
use crate::native::compiled_in;
use crate::scene::{PATIENCE, assert_same, pattern};

/// Recalls to interrupt, unless the variable gives a number.
const KILLS: usize = 340;
/// One handshake per this many recalls.
const HANDSHAKES: usize = 6;
/// How many files and clients at a time.
const CONCURRENT: usize = 4;
/// Recalled in twelve writes, in two parts.
const LENGTH: usize = (12 << 20) - 4321;
/// The visible steps of a handshake, in order.
const STEPS: [&str; 4] = ["marked", "object recorded", "cs.remote set", "truncate"];

/// The work that a kill interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    /// A recall, in this tenth of its bytes.
    Recall(usize),
    /// A handshake, after this step.
    Handshake(usize),
    /// It had finished, or not started.
    Nothing,
}

/// A small linear congruential generator, which returns the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % most
    }
}

/// The state of the file on the brick.
#[derive(Debug)]
struct Seen {
    marked: bool,
    remote: bool,
    recorded: bool,
    bytes: usize,
}

fn inspect(copy: &Path) -> Seen {
    let blocks = fs::metadata(copy).unwrap().blocks();
    Seen {
        marked: has(copy, "downloading"),
        remote: has(copy, "remote"),
        recorded: has(copy, "object_size"),
        bytes: usize::try_from(blocks).unwrap() * 512,
    }
}

/// The index in [`STEPS`] of the handshake's last step, while the file is marked.
fn seen_step(seen: &Seen) -> Option<usize> {
    match seen {
        Seen { marked: false, .. } => None,
        Seen {
            remote: true,
            bytes: 0,
            ..
        } => Some(3),
        Seen { remote: true, .. } => Some(2),
        Seen { recorded: true, .. } => Some(1),
        Seen { .. } => Some(0),
    }
}

/// A client without a mount, which is ready much sooner than one with a mount.
struct Client {
    /// The process that enters the lab and waits for the client.
    child: Child,
    pid: Option<Pid>,
}

impl Client {
    fn start(program: &Path, volume: &str, words: &[&str]) -> Self {
        let log = lab().scratch("log/killed.log");
        let mut command = lab().command(program);
        command
            .args([volume, ADDRESS, log.to_str().unwrap()])
            .args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        let mut client = Self { child, pid: None };
        let started = Instant::now();
        while client.pid.is_none() && !client.ended() {
            assert!(started.elapsed() < PATIENCE, "the client does not start");
            client.find();
        }
        client
    }

    fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Finds the client's pid among the children of the process that started it.
    fn find(&mut self) {
        let parent = self.child.id();
        let children = format!("/proc/{parent}/task/{parent}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        let pid = children.split_whitespace().next();
        self.pid = pid.and_then(|pid| Pid::from_raw(pid.parse().ok()?));
    }

    fn kill(&mut self) {
        if let Some(pid) = self.pid.take() {
            // Its parent exits after reaping it: as long as the parent runs, the pid cannot have been reused.
            if !self.ended() {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        self.child.wait().unwrap();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A file that is archived and recalled again and again.
struct Victim<'a> {
    stage: &'a Stage,
    program: &'a Path,
    /// Of the client that stays alive.
    mount: &'a Mount,
    name: String,
    copy: PathBuf,
    bytes: Vec<u8>,
    random: Random,
}

impl<'a> Victim<'a> {
    fn new(stage: &'a Stage, program: &'a Path, mount: &'a Mount, number: usize) -> Self {
        let name = format!("victim-{number}");
        let bytes = pattern(number as u64, LENGTH);
        stage.put(&name, &bytes);
        let written = bytes.clone();
        within(mount, "write", &name, move |path| fs::write(path, written)).unwrap();
        let copy = stage.volume.copies(&name).remove(0);
        Self {
            stage,
            program,
            mount,
            name,
            copy,
            bytes,
            random: Random(number as u64 + 1),
        }
    }

    /// Kills a client during a recall, after a random number of bytes.
    fn kill_in_recall(&mut self) -> Killed {
        within(self.mount, "archive", &self.name, |path| handshake(&path)).unwrap();
        let target = self.random.below(LENGTH);
        let file = format!("/{}", self.name);
        let mut client = Client::start(self.program, self.stage.volume.name(), &["read", &file]);
        let started = Instant::now();
        let reached = |seen: &Seen| seen.marked && seen.bytes >= target;
        while !reached(&inspect(&self.copy)) && !client.ended() {
            assert!(
                started.elapsed() < PATIENCE,
                "{}: the recall does not start",
                self.name
            );
            thread::sleep(Duration::from_micros(200));
        }
        client.kill();
        let seen = inspect(&self.copy);
        if seen.marked && seen.remote {
            Killed::Recall((seen.bytes * 10 / LENGTH).min(9))
        } else {
            Killed::Nothing
        }
    }

    /// Kills a client during a handshake, a random time after a random step.
    fn kill_in_handshake(&mut self) -> Killed {
        let file = format!("/{}", self.name);
        let seconds = within(self.mount, "stat", &self.name, |path| {
            fs::metadata(path).unwrap().mtime().to_string()
        });
        let words = ["archive", &file, "0", &seconds];
        let mut client = Client::start(self.program, self.stage.volume.name(), &words);
        let started = Instant::now();
        let step = self.random.below(STEPS.len());
        // After the mark, a handshake pauses; the later steps follow each other at once.
        let longest = if step == 0 { 20_000 } else { 400 };
        let micros = self.random.below(longest);
        while seen_step(&inspect(&self.copy)) < Some(step) && !client.ended() {
            assert!(
                started.elapsed() < PATIENCE,
                "{}: the handshake does not start",
                self.name
            );
            thread::sleep(Duration::from_micros(200));
        }
        thread::sleep(Duration::from_micros(micros as u64));
        client.kill();
        seen_step(&inspect(&self.copy)).map_or(Killed::Nothing, Killed::Handshake)
    }

    /// Another client reads the right bytes, and the brick has them afterwards. Returns how long the read took.
    fn check(&self, killed: Killed) -> Duration {
        let what = format!(
            "{}, {killed:?}: {}",
            self.name,
            self.stage.volume.marks(&self.name)
        );
        let started = Instant::now();
        let read = within(self.mount, &what, &self.name, fs::read);
        let took = started.elapsed();
        let read = read.unwrap_or_else(|error| panic!("{what}: {error}\n{}", self.mount.log()));
        assert_same(&read, &self.bytes, &what);
        self.stage.volume.await_local(&self.name, &what);
        assert_same(&fs::read(&self.copy).unwrap(), &self.bytes, &what);
        took
    }
}

fn count(all: &[Killed], which: impl Fn(&Killed) -> bool) -> usize {
    all.iter().filter(|killed| which(killed)).count()
}

#[test]
fn files_read_correctly_after_clients_are_killed_at_random() {
    let recalls = std::env::var("CLOUDSYNC_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let stage = Stage::new("kills", Layout::Single, &[]);
    let program = compiled_in(lab(), "gfapi", &["-lgfapi"]);
    let mount = stage.mount();
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let all = thread::scope(|scope| {
        let work = |number| {
            let (stage, program, mount, next) = (&stage, &program, &mount, &next);
            move || {
                let mut victim = Victim::new(stage, program, mount, number);
                let before = fs::metadata(mount.path().join(&victim.name)).unwrap();
                let (mut killed, mut longest) = (Vec::new(), Duration::ZERO);
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= recalls + recalls / HANDSHAKES {
                        break;
                    }
                    let is_recall = turn % (HANDSHAKES + 1) != 0;
                    let this = if is_recall {
                        victim.kill_in_recall()
                    } else {
                        victim.kill_in_handshake()
                    };
                    longest = longest.max(victim.check(this));
                    killed.push((is_recall, this));
                }
                let after = fs::metadata(mount.path().join(&victim.name)).unwrap();
                let times = |data: &fs::Metadata| (data.mtime(), data.mtime_nsec());
                assert_eq!(times(&after), times(&before), "{}", victim.name);
                (killed, longest)
            }
        };
        let threads: Vec<_> = (0..CONCURRENT)
            .map(|number| scope.spawn(work(number)))
            .collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.collect::<Vec<_>>()
    });
    let took = started.elapsed();
    let longest = all.iter().map(|(_, longest)| *longest).max().unwrap();
    let of = |recall: bool| -> Vec<Killed> {
        let all = all.iter().flat_map(|(killed, _)| killed);
        let these = all.filter(|(is_recall, _)| *is_recall == recall);
        these.map(|(_, killed)| *killed).collect()
    };
    let (recalls, handshakes) = (of(true), of(false));

    let tenths: Vec<usize> = (0..10)
        .map(|tenth| count(&recalls, |killed| *killed == Killed::Recall(tenth)))
        .collect();
    let hit: usize = tenths.iter().sum();
    eprintln!(
        "| clients killed for a recall | {}, {hit} of them during it, in {took:.0?} |",
        recalls.len()
    );
    eprintln!("| bytes on the brick when the client died, in tenths | {tenths:?} |");
    let steps: Vec<_> = (0..STEPS.len())
        .map(|step| {
            (
                STEPS[step],
                count(&handshakes, |killed| *killed == Killed::Handshake(step)),
            )
        })
        .collect();
    let in_handshake: usize = steps.iter().map(|(_, times)| times).sum();
    eprintln!(
        "| clients killed for a handshake | {}, {in_handshake} of them during it: {steps:?} |",
        handshakes.len()
    );
    eprintln!("| the read after a kill | {longest:.1?} at most |");

    assert!(
        hit * 10 >= recalls.len() * 9,
        "too many kills missed the recall"
    );
    let spread = tenths.iter().filter(|times| **times > 0).count();
    assert!(spread >= 7, "the kills are not spread over the recall");
    assert!(
        in_handshake * 2 >= handshakes.len(),
        "too many kills missed the handshake"
    );

    // No temporary files are left, and a new client reads the same.
    let bricks = stage.volume.bricks();
    let mut names: Vec<_> = fs::read_dir(&bricks[0])
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".glusterfs")
        .collect();
    names.sort();
    let victims: Vec<_> = (0..CONCURRENT)
        .map(|number| format!("victim-{number}"))
        .collect();
    assert_eq!(names, victims);
    drop(mount);
    let mount = stage.mount();
    for (number, name) in victims.iter().enumerate() {
        let read = within(&mount, "read", name, fs::read).unwrap();
        assert_same(&read, &pattern(number as u64, LENGTH), name);
    }
}
