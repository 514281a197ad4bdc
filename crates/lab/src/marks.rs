// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A file on the bricks of a volume: its bytes, and the marks (extended attributes) of the feature.
//!
//! All functions panic when a brick cannot be read, as a test would.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::run::until;
use crate::volume::Volume;

/// Longer than a recall may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn value(path: &Path, name: &str) -> Option<Vec<u8>> {
    let value = xattr::get(path, name);
    value.unwrap_or_else(|error| panic!("{name} of {}: {error}", path.display()))
}

/// Whether a file on a brick has the attribute `trusted.glusterfs.cs.MARK`.
#[must_use]
pub fn has(path: &Path, mark: &str) -> bool {
    value(path, &format!("trusted.glusterfs.cs.{mark}")).is_some()
}

/// All marks of a file on a brick, sorted: the host's (`trusted.glusterfs.cs.*`) and our own (`trusted.cloudsync.*`).
#[must_use]
pub fn all(path: &Path) -> Vec<(String, Vec<u8>)> {
    let names = xattr::list(path);
    let names = names.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let ours = names.filter(|name| name.contains("glusterfs.cs.") || name.contains("cloudsync"));
    let mut all: Vec<_> = ours
        .map(|name| (value(path, &name).unwrap_or_default(), name))
        .map(|(value, name)| (name, value))
        .collect();
    all.sort();
    all
}

fn length(path: &Path) -> u64 {
    let data = fs::metadata(path);
    data.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .len()
}

/// Whether a file on a brick is cold, has no bytes, and no job is running on it.
#[must_use]
pub fn is_stub(path: &Path) -> bool {
    has(path, "remote") && !has(path, "downloading") && length(path) == 0
}

/// Whether a file on a brick has none of the host's marks.
fn is_ordinary(path: &Path) -> bool {
    let marks = all(path);
    marks
        .iter()
        .all(|(name, _)| !name.contains("glusterfs.cs."))
}

/// Operations are answered before their job has cleaned up, so while `on_the_way` holds, `so` is checked repeatedly for
/// up to ten seconds.
fn soon(so: impl Fn() -> bool, on_the_way: impl Fn() -> bool) -> bool {
    const MOMENT: Duration = Duration::from_secs(10);
    let started = Instant::now();
    loop {
        if so() {
            return true;
        }
        if !on_the_way() || started.elapsed() > MOMENT {
            return so();
        }
        thread::sleep(Duration::from_millis(5));
    }
}

impl Volume {
    /// The paths of a file on the bricks, for this process: copies, fragments, or one file on one brick. Leaves out the
    /// empty link files by which a distributed volume points to another brick.
    #[must_use]
    pub fn copies(&self, name: &str) -> Vec<PathBuf> {
        let points_elsewhere =
            |path: &PathBuf| value(path, "trusted.glusterfs.dht.linkto").is_some();
        let bricks = self.bricks().into_iter();
        bricks
            .map(|brick| brick.join(name))
            .filter(|path| path.exists() && !points_elsewhere(path))
            .collect()
    }

    /// Whether all copies are cold and have no bytes. Waits up to ten seconds for a job that is about to finish.
    #[must_use]
    pub fn is_cold(&self, name: &str) -> bool {
        let coming =
            |path: &PathBuf| has(path, "downloading") || (has(path, "remote") && length(path) > 0);
        soon(
            || self.is_cold_now(name),
            || self.copies(name).iter().any(coming),
        )
    }

    /// The same, without waiting.
    #[must_use]
    pub fn is_cold_now(&self, name: &str) -> bool {
        let copies = self.copies(name);
        !copies.is_empty() && copies.iter().all(|path| is_stub(path))
    }

    /// Whether no copy has one of the host's marks. Waits up to ten seconds: readers are answered before the bricks
    /// have all the bytes.
    #[must_use]
    pub fn is_local(&self, name: &str) -> bool {
        soon(|| self.is_local_now(name), || true)
    }

    /// The same, without waiting.
    #[must_use]
    pub fn is_local_now(&self, name: &str) -> bool {
        let copies = self.copies(name);
        !copies.is_empty() && copies.iter().all(|path| is_ordinary(path))
    }

    /// Waits until no copy has one of the host's marks: a recall may end after its readers were answered.
    #[track_caller]
    pub fn await_local(&self, name: &str, what: &str) {
        self.await_cleanup(name, what, || {});
    }

    /// The same after a client died: calls `look` repeatedly until a lookup of the file has cleaned up.
    #[track_caller]
    pub fn await_cleanup(&self, name: &str, what: &str, look: impl Fn()) {
        until(PATIENCE, what, || {
            if self.is_local_now(name) {
                return Some(());
            }
            look();
            None
        })
        .unwrap_or_else(|failure| panic!("{name}: {failure}\n{}", self.marks(name)));
    }

    /// Size and marks of every copy, for a failure's message.
    #[must_use]
    pub fn marks(&self, name: &str) -> String {
        let mut text = String::new();
        for (number, path) in self.copies(name).iter().enumerate() {
            text.push_str(&format!("\ncopy {number}: {} bytes", length(path)));
            for (name, value) in all(path) {
                text.push_str(&format!(", {name}={}", value.escape_ascii()));
            }
        }
        text
    }
}
