// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What all threads share: the clock, the files, what went wrong, which event is in progress, and how often each error was
//! seen in which event.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::copies;
use crate::files::{File, Files};

/// The number and name of an error.
pub(crate) type Errno = (i32, &'static str);

/// What an application may get while something is wrong with the store or the bricks, or while a client is replaced
/// (`ECANCELED`: the recall of an old graph). README.md says which is for what.
const ALLOWED: [Errno; 10] = [
    (libc::EHOSTUNREACH, "EHOSTUNREACH"),
    (libc::EBUSY, "EBUSY"),
    (libc::ENOTCONN, "ENOTCONN"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::ECANCELED, "ECANCELED"),
    (libc::EREMOTE, "EREMOTE"),
    (libc::EREMOTEIO, "EREMOTEIO"),
    (libc::EKEYREJECTED, "EKEYREJECTED"),
    (libc::EACCES, "EACCES"),
];

/// The name that errors have whose client was killed meanwhile, whatever their number.
const KILLED: &str = "client killed";

/// What kind of fault was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A read returned something else than the file's bytes.
    Bytes,
    /// An application got an error that it must not get, or got errors for too long.
    Error,
    /// Anything else: a program or an event failed, or did not end.
    Other,
}

/// After so many faults there is nothing more to learn.
const ENOUGH: usize = 20;

/// Something that was done to the volume, the store or a client.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) name: &'static str,
    /// What it was this time.
    pub(crate) what: String,
    /// Seconds since the start.
    pub(crate) begun: f64,
    pub(crate) ended: Option<f64>,
    /// How often it struck something, as far as that can be counted.
    pub(crate) strokes: u64,
}

/// What an application has done: reads that were right, their bytes, and changes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    pub(crate) reads: u64,
    pub(crate) bytes: u64,
    pub(crate) changes: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Day {
    started: Instant,
    pub(crate) files: Files,
    bricks: Vec<PathBuf>,
    /// Workers end after their current operation.
    pub(crate) over: AtomicBool,
    events: Mutex<Vec<Event>>,
    /// By event and name of the error.
    errors: Mutex<BTreeMap<(&'static str, String), u64>>,
    /// Wrong bytes, errors that must not be, operations without an end.
    faults: Mutex<Vec<(Kind, String)>>,
    /// By the application's name.
    work: Mutex<BTreeMap<String, Work>>,
    /// Reads that showed an older state, as caches of another client may for a moment.
    pub(crate) stale: AtomicU64,
}

impl Day {
    pub(crate) fn new(files: Files, bricks: Vec<PathBuf>) -> Self {
        Self {
            started: Instant::now(),
            files,
            bricks,
            over: AtomicBool::new(false),
            events: Mutex::default(),
            errors: Mutex::default(),
            faults: Mutex::default(),
            work: Mutex::default(),
            stale: AtomicU64::new(0),
        }
    }

    /// Seconds since the start.
    pub(crate) fn now(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Something that must not be.
    pub(crate) fn fault(&self, kind: Kind, what: impl Display) {
        let event = self.event();
        let line = format!("at {:.1} s, event {event}: {what}", self.now());
        let mut faults = lock(&self.faults);
        if faults.len() >= ENOUGH {
            return;
        }
        eprintln!("FAULT {line}");
        faults.push((kind, line));
        if faults.len() >= ENOUGH {
            self.over.store(true, Ordering::Relaxed);
        }
    }

    /// An application has read wrong bytes of a file, in `range`: offset and length.
    pub(crate) fn wrong(&self, number: usize, file: &File, range: (u64, u64), what: &str) {
        let copies = copies::compare(&self.bricks, &self.files, number, file, range);
        let steps = file.steps();
        self.fault(Kind::Bytes, format!("{what}\n  {copies}{steps}"));
    }

    /// See [`copies::one_is_blamed`].
    pub(crate) fn one_is_blamed(&self, file: &File) -> bool {
        copies::one_is_blamed(&self.bricks, file)
    }

    /// The faults of a kind.
    pub(crate) fn faults(&self, kind: Kind) -> Vec<String> {
        let faults = lock(&self.faults);
        let of = faults.iter().filter(|(of, _)| *of == kind);
        of.map(|(_, line)| line.clone()).collect()
    }

    pub(crate) fn has_faults(&self) -> bool {
        !lock(&self.faults).is_empty()
    }

    /// Whether there was an event.
    pub(crate) fn has_begun(&self) -> bool {
        !lock(&self.events).is_empty()
    }

    /// The name of the latest event: what an error belongs to. Its consequences may last longer than itself.
    fn event(&self) -> &'static str {
        lock(&self.events).last().map_or("none", |event| event.name)
    }

    pub(crate) fn begin(&self, name: &'static str) {
        let event = Event {
            name,
            what: String::new(),
            begun: self.now(),
            ended: None,
            strokes: 0,
        };
        lock(&self.events).push(event);
    }

    /// The latest event ends.
    pub(crate) fn end(&self, what: String, strokes: u64) {
        let now = self.now();
        if let Some(event) = lock(&self.events).last_mut() {
            (event.what, event.ended, event.strokes) = (what, Some(now), strokes);
            eprintln!(
                "{:7.1} s  {} ({:.1} s): {}",
                event.begun,
                event.name,
                now - event.begun,
                event.what
            );
        }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        lock(&self.events).clone()
    }

    /// Counts an error that an application got with a file. It is a fault unless such errors are allowed; `more` are, too.
    pub(crate) fn error(
        &self,
        error: &io::Error,
        more: &[Errno],
        killed: bool,
        file: &File,
        what: &dyn Fn() -> String,
    ) {
        let number = error.raw_os_error().unwrap_or(0);
        let mut all = ALLOWED.iter().chain(more);
        let allowed = all.find(|(errno, _)| *errno == number);
        let name = match allowed {
            Some((_, name)) => (*name).to_owned(),
            None if killed => KILLED.to_owned(),
            None => {
                let copies = copies::list(&self.bricks, file);
                self.fault(Kind::Error, format!("{}: {error}\n  {copies}", what()));
                format!("errno {number}")
            }
        };
        *lock(&self.errors).entry((self.event(), name)).or_default() += 1;
    }

    pub(crate) fn errors(&self) -> BTreeMap<(&'static str, String), u64> {
        lock(&self.errors).clone()
    }

    /// Adds to what an application has done.
    pub(crate) fn did(&self, application: &str, more: Work) {
        let mut work = lock(&self.work);
        let done = work.entry(application.to_owned()).or_default();
        done.reads += more.reads;
        done.bytes += more.bytes;
        done.changes += more.changes;
    }

    pub(crate) fn work(&self) -> BTreeMap<String, Work> {
        lock(&self.work).clone()
    }

    /// Sleeps, or until the day is over.
    pub(crate) fn rest(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_over() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}

/// Locks; a thread that panicked is reported elsewhere.
pub(crate) fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
