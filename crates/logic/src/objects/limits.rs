// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What this process may take: memory for bytes of objects, connections, bytes in a second. All instances share it; the
//! settings that were read last hold.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

/// What keeps bytes that may be thrown away.
pub trait Evict: std::fmt::Debug + Send + Sync {
    /// The chunk at `at` is not kept any longer, unless a read that waits for others needs it. Returns whether it is gone.
    fn forget(&self, at: u64) -> bool;
}

/// The process's.
pub static LIMITS: LazyLock<Limits> = LazyLock::new(Limits::default);

/// See the module.
#[derive(Debug, Default)]
pub struct Limits {
    memory: Mutex<Memory>,
    freed: Condvar,
    connections: Mutex<Connections>,
    closed: Condvar,
    rate: Mutex<Rate>,
}

#[derive(Debug, Default)]
struct Memory {
    limit: u64,
    /// By bytes that came.
    used: u64,
    /// By connections, for what was read ahead.
    buffers: u64,
    /// What may be thrown away, the oldest first.
    kept: VecDeque<(Weak<dyn Evict>, u64)>,
}

#[derive(Debug, Default)]
struct Connections {
    limit: usize,
    used: usize,
    /// Bytes that those of readers and those of recalls may hold of what was read ahead.
    of_reads: u64,
    of_recalls: u64,
    most_buffers: u64,
}

#[derive(Debug, Default)]
struct Rate {
    /// Bytes in a second; 0: as many as come.
    limit: u64,
    /// When what was taken so far is paid for.
    paid: Option<Instant>,
}

/// Who wants a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A reader waits for these bytes.
    Read,
    /// A file is brought back. A quarter of the connections is kept for readers.
    Recall,
    /// The same, by one who has what [`Limits::more`] gave.
    More,
}

/// Memory that is taken; given back on drop.
#[derive(Debug)]
pub struct Lease<'a> {
    limits: &'a Limits,
    bytes: u64,
}

/// A connection that is taken; given back on drop.
#[derive(Debug)]
pub struct Connection<'a> {
    limits: &'a Limits,
    _ahead: Ahead<'a>,
}

/// Room for what a connection reads ahead; given back on drop. Counted under both locks: some wait for room under the one,
/// and some for memory under the other.
#[derive(Debug)]
pub struct Ahead<'a> {
    limits: &'a Limits,
    what: Use,
    bytes: u64,
}

/// What a connection takes, at most, for bytes that nobody has taken from it yet: in the HTTP client, on the way from it,
/// what malloc keeps for it, and the thread that waits for it (measured with the S3 plugin: 1.1 MiB, as much again, and the
/// rest).
const BUFFER: u64 = 3 << 20;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Limits {
    /// Takes the settings over.
    pub fn set(&self, config: &Config) {
        lock(&self.memory).limit = config.memory;
        let mut connections = lock(&self.connections);
        connections.limit = config.connections;
        connections.most_buffers = config.memory / 2;
        drop(connections);
        lock(&self.rate).limit = config.rate;
        self.freed.notify_all();
        self.closed.notify_all();
    }

    /// Bytes of memory that are taken, and connections.
    #[must_use]
    pub fn used(&self) -> (u64, usize) {
        let memory = lock(&self.memory);
        let bytes = memory.used + memory.buffers;
        drop(memory);
        (bytes, lock(&self.connections).used)
    }

    /// Takes memory. Blocks until there is some; what is only kept is thrown away for it.
    pub fn memory(&self, bytes: u64) -> Lease<'_> {
        let mut memory = lock(&self.memory);
        let mut needed = 0;
        // One always goes, however small the limit: it must not wait for itself.
        while memory.used > 0 && memory.used + bytes > memory.left() {
            if needed < memory.kept.len()
                && let Some((kept, at)) = memory.kept.pop_front()
            {
                // Gives memory back, which takes the lock.
                drop(memory);
                let stays = kept.upgrade().is_some_and(|object| !object.forget(at));
                memory = lock(&self.memory);
                if stays {
                    memory.kept.push_back((kept, at));
                    needed += 1;
                }
            } else if needed > 0 {
                // Readers wait for all of it, and for what this memory is for: they must not wait for each other.
                break;
            } else {
                memory = self
                    .freed
                    .wait(memory)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
        memory.used += bytes;
        Lease {
            limits: self,
            bytes,
        }
    }

    /// The bytes at `at` of `object` may be thrown away when memory is short.
    pub fn keep<E: Evict + 'static>(&self, object: &Arc<E>, at: u64) {
        const MANY: usize = 4096;
        let kept: Weak<E> = Arc::downgrade(object);
        let mut memory = lock(&self.memory);
        if memory.kept.len() >= MANY {
            memory.kept.retain(|(object, _)| object.strong_count() > 0);
        }
        memory.kept.push_back((kept, at));
        drop(memory);
        self.freed.notify_all();
    }

    /// Room for one connection more of a recall that has one already, if there is some. Not waited for: others may be slow,
    /// and it has one.
    pub fn more(&self) -> Option<Ahead<'_>> {
        let connections = lock(&self.connections);
        // As with connections, a quarter is not for this.
        if connections.of_recalls + BUFFER > connections.most_buffers / 4 * 3 {
            return None;
        }
        Some(self.ahead(connections, Use::More, BUFFER))
    }

    fn ahead(
        &self,
        mut connections: MutexGuard<'_, Connections>,
        what: Use,
        bytes: u64,
    ) -> Ahead<'_> {
        *connections.of(what) += bytes;
        drop(connections);
        lock(&self.memory).buffers += bytes;
        Ahead {
            limits: self,
            what,
            bytes,
        }
    }

    /// Takes a connection for so many bytes. Blocks until one is free.
    pub fn connection(&self, what: Use, bytes: u64) -> Connection<'_> {
        let buffer = match what {
            Use::Read | Use::Recall => bytes.min(BUFFER),
            Use::More => 0,
        };
        let mut connections = lock(&self.connections);
        loop {
            if connections.has_room(what, buffer) {
                break;
            }
            connections = self
                .closed
                .wait(connections)
                .unwrap_or_else(PoisonError::into_inner);
        }
        connections.used += 1;
        Connection {
            limits: self,
            _ahead: self.ahead(connections, what, buffer),
        }
    }

    /// So many bytes have come: waits until the next may.
    pub fn pace(&self, bytes: u64) {
        let pause = lock(&self.rate).pause(bytes, Instant::now());
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
}

impl Memory {
    /// What there is for bytes that came: half of it, however many connections there are.
    fn left(&self) -> u64 {
        self.limit - self.buffers.min(self.limit / 2)
    }
}

impl Connections {
    fn of(&mut self, what: Use) -> &mut u64 {
        match what {
            Use::Read => &mut self.of_reads,
            Use::Recall | Use::More => &mut self.of_recalls,
        }
    }

    /// Readers do not wait for memory that recalls hold, and a recall for none.
    fn has_room(&self, what: Use, buffer: u64) -> bool {
        let of_recalls = self.limit - self.limit / 4;
        let (most, fits) = match what {
            Use::Read => (
                self.limit,
                self.of_reads == 0 || self.of_reads + buffer <= self.most_buffers / 2,
            ),
            Use::Recall | Use::More => (of_recalls, true),
        };
        self.used < most.max(1) && fits
    }
}

impl Rate {
    fn pause(&mut self, bytes: u64, now: Instant) -> Duration {
        if self.limit == 0 {
            return Duration::ZERO;
        }
        let paid = self.paid.map_or(now, |paid| paid.max(now));
        let cost = Duration::from_secs_f64(bytes as f64 / self.limit as f64);
        self.paid = Some(paid + cost);
        paid + cost - now
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        lock(&self.limits.memory).used -= self.bytes;
        self.limits.freed.notify_all();
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        *lock(&self.limits.connections).of(self.what) -= self.bytes;
        self.limits.closed.notify_all();
        lock(&self.limits.memory).buffers -= self.bytes;
        self.limits.freed.notify_all();
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        lock(&self.limits.connections).used -= 1;
        self.limits.closed.notify_all();
    }
}

#[cfg(test)]
mod tests;
