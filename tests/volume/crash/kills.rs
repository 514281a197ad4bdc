// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Clients that are killed at random moments of a recall or a handshake, many times; and each time the file has its
//! bytes. More of it: `CLOUDSYNC_KILLS=10000`, the number of recalls to strike.

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

use super::{Stage, cut, lab, within};
use crate::native::compiled_in;
use crate::scene::{PATIENCE, assert_same, pattern};

/// Recalls to strike, unless the variable says more.
const KILLS: usize = 340;
/// Handshakes: one for so many recalls.
const HAND_SHAKES: usize = 6;
/// Files and their clients at once.
const AT_ONCE: usize = 4;
/// Twelve writes, in two parts.
const LENGTH: usize = (12 << 20) - 4321;
/// What a handshake has done, one after the other.
const STEPS: [&str; 4] = ["marked", "object written down", "cs.remote set", "cut"];

/// What a client was doing when it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Struck {
    /// A recall, in this tenth of its bytes.
    Recall(usize),
    /// A handshake: which of its steps it had done last.
    HandShake(usize),
    /// Nothing any more, or not yet.
    Nothing,
}

/// A small linear congruential generator: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % most
    }
}

/// What the brick has of the file.
#[derive(Debug)]
struct Seen {
    marked: bool,
    remote: bool,
    recorded: bool,
    bytes: usize,
}

fn see(copy: &Path) -> Seen {
    let blocks = fs::metadata(copy).unwrap().blocks();
    Seen {
        marked: has(copy, "downloading"),
        remote: has(copy, "remote"),
        recorded: has(copy, "object_size"),
        bytes: usize::try_from(blocks).unwrap() * 512,
    }
}

/// Of [`STEPS`], while the file is marked.
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

/// A client without a mount. It is ready long before one with a mount is.
struct Client {
    /// What brings it into the lab, and waits for it.
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
        let begun = Instant::now();
        while client.pid.is_none() && !client.ended() {
            assert!(begun.elapsed() < PATIENCE, "no client");
            client.find();
        }
        client
    }

    fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Looks for it below the one that brought it in.
    fn find(&mut self) {
        let parent = self.child.id();
        let children = format!("/proc/{parent}/task/{parent}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        let pid = children.split_whitespace().next();
        self.pid = pid.and_then(|pid| Pid::from_raw(pid.parse().ok()?));
    }

    fn kill(&mut self) {
        if let Some(pid) = self.pid.take() {
            // Its parent reaps it, and ends then: as long as that one is there, the pid is no other's.
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

/// A file that is archived and recalled again and again, and what is needed for that.
struct Victim<'a> {
    stage: &'a Stage,
    program: &'a Path,
    /// Of the client that lives.
    mount: &'a Mount,
    name: String,
    copy: PathBuf,
    bytes: Vec<u8>,
    dice: Dice,
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
            dice: Dice(number as u64 + 1),
        }
    }

    /// Kills a client in a recall, once it has brought a random number of bytes.
    fn strike_recall(&mut self) -> Struck {
        within(self.mount, "archive", &self.name, |path| cut(&path)).unwrap();
        let target = self.dice.below(LENGTH);
        let file = format!("/{}", self.name);
        let mut client = Client::start(self.program, self.stage.volume.name(), &["read", &file]);
        let begun = Instant::now();
        let reached = |seen: &Seen| seen.marked && seen.bytes >= target;
        while !reached(&see(&self.copy)) && !client.ended() {
            assert!(begun.elapsed() < PATIENCE, "{}: no recall", self.name);
            thread::sleep(Duration::from_micros(200));
        }
        client.kill();
        let seen = see(&self.copy);
        if seen.marked && seen.remote {
            Struck::Recall((seen.bytes * 10 / LENGTH).min(9))
        } else {
            Struck::Nothing
        }
    }

    /// Kills a client in a handshake, a random time after a random step of it.
    fn strike_handshake(&mut self) -> Struck {
        let file = format!("/{}", self.name);
        let seconds = within(self.mount, "stat", &self.name, |path| {
            fs::metadata(path).unwrap().mtime().to_string()
        });
        let words = ["archive", &file, "0", &seconds];
        let mut client = Client::start(self.program, self.stage.volume.name(), &words);
        let begun = Instant::now();
        let (step, micros) = (self.dice.below(STEPS.len()), self.dice.below(4000));
        while seen_step(&see(&self.copy)) < Some(step) && !client.ended() {
            assert!(begun.elapsed() < PATIENCE, "{}: no handshake", self.name);
            thread::sleep(Duration::from_micros(200));
        }
        thread::sleep(Duration::from_micros(micros as u64));
        client.kill();
        seen_step(&see(&self.copy)).map_or(Struck::Nothing, Struck::HandShake)
    }

    /// The other client finds the bytes, and the brick has them. Returns how long that took.
    fn check(&self, struck: Struck) -> Duration {
        let what = format!(
            "{}, {struck:?}: {}",
            self.name,
            self.stage.volume.marks(&self.name)
        );
        let begun = Instant::now();
        let read = within(self.mount, &what, &self.name, fs::read);
        let took = begun.elapsed();
        let read = read.unwrap_or_else(|error| panic!("{what}: {error}\n{}", self.mount.log()));
        assert_same(&read, &self.bytes, &what);
        self.stage.volume.await_plain(&self.name, &what);
        assert_same(&fs::read(&self.copy).unwrap(), &self.bytes, &what);
        took
    }
}

fn count(all: &[Struck], which: impl Fn(&Struck) -> bool) -> usize {
    all.iter().filter(|struck| which(struck)).count()
}

#[test]
fn clients_that_are_killed_at_random_leave_files_that_read() {
    let recalls = std::env::var("CLOUDSYNC_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let stage = Stage::new("kills", Layout::Single, &[]);
    let program = compiled_in(lab(), "gfapi", &["-lgfapi"]);
    let mount = stage.mount();
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let all = thread::scope(|scope| {
        let work = |number| {
            let (stage, program, mount, next) = (&stage, &program, &mount, &next);
            move || {
                let mut victim = Victim::new(stage, program, mount, number);
                let before = fs::metadata(mount.path().join(&victim.name)).unwrap();
                let (mut struck, mut longest) = (Vec::new(), Duration::ZERO);
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= recalls + recalls / HAND_SHAKES {
                        break;
                    }
                    let is_recall = turn % (HAND_SHAKES + 1) != 0;
                    let this = if is_recall {
                        victim.strike_recall()
                    } else {
                        victim.strike_handshake()
                    };
                    longest = longest.max(victim.check(this));
                    struck.push((is_recall, this));
                }
                let after = fs::metadata(mount.path().join(&victim.name)).unwrap();
                let times = |data: &fs::Metadata| (data.mtime(), data.mtime_nsec());
                assert_eq!(times(&after), times(&before), "{}", victim.name);
                (struck, longest)
            }
        };
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|number| scope.spawn(work(number)))
            .collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.collect::<Vec<_>>()
    });
    let took = begun.elapsed();
    let longest = all.iter().map(|(_, longest)| *longest).max().unwrap();
    let of = |recall: bool| -> Vec<Struck> {
        let all = all.iter().flat_map(|(struck, _)| struck);
        let these = all.filter(|(is_recall, _)| *is_recall == recall);
        these.map(|(_, struck)| *struck).collect()
    };
    let (recalls, handshakes) = (of(true), of(false));

    let tenths: Vec<usize> = (0..10)
        .map(|tenth| count(&recalls, |struck| *struck == Struck::Recall(tenth)))
        .collect();
    let hit: usize = tenths.iter().sum();
    eprintln!(
        "{} clients were killed for a recall, {hit} in the middle of it, in {took:.0?}",
        recalls.len()
    );
    eprintln!("bytes on the brick when the client died, in tenths: {tenths:?}");
    let steps: Vec<_> = (0..STEPS.len())
        .map(|step| {
            (
                STEPS[step],
                count(&handshakes, |struck| *struck == Struck::HandShake(step)),
            )
        })
        .collect();
    let shaken: usize = steps.iter().map(|(_, times)| times).sum();
    eprintln!(
        "{} clients were killed for a handshake, {shaken} in the middle of it: {steps:?}",
        handshakes.len()
    );
    eprintln!("the next read took {longest:.1?} at most");

    assert!(
        hit * 10 >= recalls.len() * 9,
        "too many kills struck nothing"
    );
    let spread = tenths.iter().filter(|times| **times > 0).count();
    assert!(spread >= 7, "the kills are not spread over the recall");
    assert!(
        shaken * 2 >= handshakes.len(),
        "too many kills struck nothing"
    );

    // No temporary is left, and a client that knows nothing finds the same.
    let bricks = stage.volume.bricks();
    let mut names: Vec<_> = fs::read_dir(&bricks[0])
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".glusterfs")
        .collect();
    names.sort();
    let victims: Vec<_> = (0..AT_ONCE)
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
