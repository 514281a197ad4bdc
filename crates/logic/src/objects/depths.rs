// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! How many recalls run at once, and how many parts of large files they fetch: found by measuring ([`cloudsync_depth`]),
//! below the settings' ceilings. Of the process, like the budgets of [`super::limits`].
//!
//! Small files and parts have a depth each, because they cost different things: a small file a round trip to the store and
//! some to the bricks, a part the line's rate.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use cloudsync_depth::Depth;

use crate::config::Config;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// The depths of this process.
pub static DEPTHS: LazyLock<Depths> = LazyLock::new(Depths::default);

/// Where the depth of small files starts with a near store: as many keep two cores busy.
const SMALL: usize = 16;
/// With a far one.
const SMALL_FAR: usize = 64;
/// Where the number of parts starts: as many reach the speed of a brick.
const PARTS: usize = 4;
/// With a far store.
const PARTS_FAR: usize = 16;
/// So many large files are recalled at once, even if one needs all parts.
const LARGE: usize = 8;

/// The depths, and the large files that share one.
#[derive(Debug)]
pub struct Depths {
    small: Mutex<Depth>,
    parts: Mutex<Parts>,
    /// How many parts of one file may be fetched at once.
    ranges: AtomicUsize,
}

#[derive(Debug)]
struct Parts {
    depth: Depth,
    /// Large files that are being recalled.
    files: usize,
    /// Their parts that are being fetched.
    streams: usize,
}

impl Default for Depths {
    fn default() -> Self {
        let parts = Parts {
            depth: Depth::new(PARTS, PARTS_FAR, 2, usize::MAX),
            files: 0,
            streams: 0,
        };
        Self {
            small: Mutex::new(Depth::new(SMALL, SMALL_FAR, 4, usize::MAX)),
            parts: Mutex::new(parts),
            ranges: AtomicUsize::new(usize::MAX),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Depths {
    /// Applies the settings.
    pub fn set(&self, config: &Config) {
        lock(&self.small).set_ceiling(config.recalls);
        lock(&self.parts).depth.set_ceiling(config.connections);
        self.ranges.store(config.ranges, Ordering::Relaxed);
    }

    /// How many small files may be recalled at once.
    #[must_use]
    pub fn small(&self) -> usize {
        lock(&self.small).get()
    }

    /// A small file was recalled. `waiting`: others wait for their turn.
    pub fn did_small(&self, waiting: bool) {
        lock(&self.small).did(1, 1, waiting, Instant::now());
    }

    /// How many large files may be recalled at once.
    #[must_use]
    pub fn large(&self) -> usize {
        (self.parts() / 2).max(LARGE)
    }

    /// How many parts of large files may be fetched at once.
    #[must_use]
    pub fn parts(&self) -> usize {
        lock(&self.parts).depth.get()
    }

    /// By how much read-ahead grows when a reader had to wait. Of a far store more, because each wait is long.
    #[must_use]
    pub fn growth(&self) -> u64 {
        if lock(&self.parts).depth.is_far() {
            4
        } else {
            2
        }
    }

    /// The store took so long to answer a request.
    pub fn answered(&self, latency: Duration) {
        lock(&self.small).answered(latency);
        lock(&self.parts).depth.answered(latency);
    }

    /// The store asked for fewer requests.
    pub fn throttled(&self) {
        let now = Instant::now();
        lock(&self.small).throttled(now);
        lock(&self.parts).depth.throttled(now);
    }

    /// Counts a large file, and its first stream.
    pub fn file(&self) -> File<'_> {
        let mut parts = lock(&self.parts);
        parts.files += 1;
        parts.streams += 1;
        drop(parts);
        File {
            depths: self,
            streams: AtomicUsize::new(1),
        }
    }
}

/// A large file that is being recalled.
#[derive(Debug)]
pub struct File<'a> {
    depths: &'a Depths,
    /// Its parts that are being fetched.
    streams: AtomicUsize,
}

/// Another part of a file at the same time, until it is dropped.
#[derive(Debug)]
pub struct Stream<'a>(&'a File<'a>);

impl File<'_> {
    /// Counts one more part, if the file may have one.
    pub fn more(&self) -> Option<Stream<'_>> {
        let mut parts = lock(&self.depths.parts);
        if parts.streams >= parts.depth.get()
            || self.streams.load(Ordering::Relaxed) >= self.share(&parts)
        {
            return None;
        }
        parts.streams += 1;
        self.streams.fetch_add(1, Ordering::Relaxed);
        Some(Stream(self))
    }

    /// How many parts each file may have: all files get as many.
    fn share(&self, parts: &Parts) -> usize {
        let share = parts.depth.get().div_ceil(parts.files.max(1));
        share.min(self.depths.ranges.load(Ordering::Relaxed))
    }

    /// Bytes of a part arrived. `left`: there are parts that nobody fetches yet.
    pub fn did(&self, bytes: usize, left: bool) {
        lock(&self.depths.parts)
            .depth
            .did(bytes as u64, 0, left, Instant::now());
    }
}

impl Stream<'_> {
    /// Whether another file, or a store that wants fewer requests, should have this part's place.
    #[must_use]
    pub fn should_end(&self) -> bool {
        let parts = lock(&self.0.depths.parts);
        self.0.streams.load(Ordering::Relaxed) > self.0.share(&parts)
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        lock(&self.0.depths.parts).streams -= 1;
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for File<'_> {
    fn drop(&mut self) {
        let mut parts = lock(&self.depths.parts);
        parts.files -= 1;
        parts.streams -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depths(ranges: usize) -> Depths {
        let depths = Depths::default();
        depths.set(&Config {
            ranges,
            ..Config::default()
        });
        depths
    }

    #[test]
    fn a_file_alone_gets_all_parts_and_several_share_them() {
        let depths = depths(64);
        let first = depths.file();
        let mut streams: Vec<_> = std::iter::from_fn(|| first.more()).collect();
        assert_eq!(streams.len() + 1, PARTS);
        let second = depths.file();
        assert!(second.more().is_none(), "the first one has them");
        assert!(streams[0].should_end());
        streams.truncate(1);
        assert!(!streams[0].should_end(), "half is its share");
        assert!(second.more().is_some());
    }

    #[test]
    fn the_setting_is_a_ceiling_for_each_file() {
        let depths = depths(2);
        let file = depths.file();
        let streams: Vec<_> = std::iter::from_fn(|| file.more()).collect();
        assert_eq!(streams.len(), 1);
    }

    #[test]
    fn a_far_store_gets_more_at_once() {
        let depths = depths(64);
        for _ in 0..4 {
            depths.answered(Duration::from_millis(40));
        }
        assert_eq!((depths.small(), depths.parts()), (SMALL_FAR, PARTS_FAR));
        depths.throttled();
        assert!(depths.small() < SMALL_FAR && depths.parts() < PARTS_FAR);
    }

    #[test]
    fn everything_is_given_back() {
        let depths = depths(64);
        {
            let file = depths.file();
            let _stream = file.more();
        }
        let parts = lock(&depths.parts);
        assert_eq!((parts.files, parts.streams), (0, 0));
    }
}
