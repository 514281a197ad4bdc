// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Looks at each client process once a second: memory, descriptors, threads, and its metrics. A thread for each client,
//! so that one that does not answer does not hide the others.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::client::Slot;
use crate::day::{Day, lock};
use crate::metrics::{ATTRIBUTE, Metrics};

/// What was seen of a client.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Seconds since the start.
    pub(crate) at: f64,
    /// The process.
    pub(crate) pid: u32,
    /// In KiB.
    pub(crate) memory: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    /// `None` if it did not answer, as while its mount is replaced, and of a server.
    pub(crate) metrics: Option<Metrics>,
}

/// Where a client's process and metrics are found.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Mount(Slot),
    /// The process, and the file that it writes its metrics to.
    Program(u32, PathBuf),
    /// smbd's process. Its metrics cannot be asked for: to its clients, vfs_glusterfs shows a file's `user.` attributes
    /// only.
    Server(u32),
}

impl Source {
    pub(crate) fn metrics(&self) -> Option<Metrics> {
        let text = match self {
            Self::Mount(slot) => {
                let (root, ..) = slot.current()?;
                String::from_utf8(xattr::get(root, ATTRIBUTE).ok()??).ok()?
            }
            Self::Program(_, file) => fs::read_to_string(file).ok()?,
            Self::Server(_) => return None,
        };
        Some(Metrics::parse(&text)).filter(|metrics| !metrics.is_empty())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Mount(slot) => Some(slot.current()?.1),
            Self::Program(pid, _) | Self::Server(pid) => Some(*pid),
        }
    }

    pub(crate) const fn has_metrics(&self) -> bool {
        !matches!(self, Self::Server(_))
    }

    fn sample(&self, day: &Day) -> Option<Sample> {
        let pid = self.pid()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let number = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        Some(Sample {
            at: day.now(),
            pid,
            memory: number("VmRSS:")?,
            descriptors: descriptors as u64,
            threads: number("Threads:")?,
            metrics: self.metrics(),
        })
    }
}

/// The samples of a client.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) name: &'static str,
    pub(crate) source: Source,
    samples: Arc<Mutex<Vec<Sample>>>,
}

impl Watched {
    /// Looks at the client until the day is over. The thread is not waited for: it may hang in a mount that hangs.
    pub(crate) fn start(name: &'static str, source: Source, day: &Arc<Day>) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let watched = Self {
            name,
            source,
            samples,
        };
        let (watching, day) = (watched.clone(), Arc::clone(day));
        thread::spawn(move || {
            while !day.is_over() {
                let sample = watching.source.sample(&day);
                lock(&watching.samples).extend(sample);
                day.rest(Duration::from_secs(1));
            }
        });
        watched
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        lock(&self.samples).clone()
    }
}
