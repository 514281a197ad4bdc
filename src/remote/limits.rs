// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What this process may take: memory for bytes of objects, connections, bytes in a second. All instances share it; the
//! settings that were read last hold.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::remote::object::Object;
use crate::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

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
    kept: VecDeque<(Weak<Object>, u64)>,
}

#[derive(Debug, Default)]
struct Connections {
    limit: usize,
    used: usize,
    /// Bytes that they may hold of what was read ahead.
    buffers: u64,
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
    buffer: u64,
}

/// What a connection takes, at most, for bytes that nobody has taken from it yet: in the HTTP client, on the way from it,
/// and what malloc keeps for it (measured with the S3 plugin: 1.1 MiB, and as much again).
const BUFFER: u64 = 2 << 20;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Limits {
    /// Takes the settings over.
    pub fn set(&self, config: &Config) {
        lock(&self.memory).limit = config.memory;
        let mut connections = lock(&self.connections);
        connections.limit = config.connections;
        // The other half is for what came. So a connection never waits for memory that only others hold.
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
        while memory.used > 0 && memory.used + memory.buffers + bytes > memory.limit {
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
    pub fn keep(&self, object: &Arc<Object>, at: u64) {
        const MANY: usize = 4096;
        let mut memory = lock(&self.memory);
        if memory.kept.len() >= MANY {
            memory.kept.retain(|(object, _)| object.strong_count() > 0);
        }
        memory.kept.push_back((Arc::downgrade(object), at));
        drop(memory);
        self.freed.notify_all();
    }

    /// Takes a connection for so many bytes. Blocks until one is free.
    pub fn connection(&self, what: Use, bytes: u64) -> Connection<'_> {
        let buffer = bytes.min(BUFFER);
        let mut connections = lock(&self.connections);
        loop {
            let (most, most_buffers) = match what {
                Use::Read => (connections.limit, connections.most_buffers),
                Use::Recall => (
                    connections.limit - connections.limit / 4,
                    connections.most_buffers - connections.most_buffers / 4,
                ),
            };
            let fits = connections.used == 0 || connections.buffers + buffer <= most_buffers;
            if connections.used < most.max(1) && fits {
                break;
            }
            connections = self
                .closed
                .wait(connections)
                .unwrap_or_else(PoisonError::into_inner);
        }
        connections.used += 1;
        connections.buffers += buffer;
        drop(connections);
        lock(&self.memory).buffers += buffer;
        Connection {
            limits: self,
            buffer,
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

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        let mut connections = lock(&self.limits.connections);
        connections.used -= 1;
        connections.buffers -= self.buffer;
        drop(connections);
        self.limits.closed.notify_all();
        lock(&self.limits.memory).buffers -= self.buffer;
        self.limits.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn limits(memory: u64, connections: usize) -> Arc<Limits> {
        let limits = Limits::default();
        limits.set(&Config {
            memory,
            connections,
            ..Config::default()
        });
        Arc::new(limits)
    }

    #[test]
    fn who_takes_too_much_waits_until_it_is_given_back() {
        let limits = limits(10, 1);
        let first = limits.memory(100);
        let (said, heard) = mpsc::channel();
        let other = Arc::clone(&limits);
        let waiter = thread::spawn(move || {
            let _lease = other.memory(1);
            said.send(()).unwrap();
        });
        let early = heard.recv_timeout(Duration::from_millis(50));
        assert!(early.is_err(), "all is taken");
        drop(first);
        heard.recv_timeout(Duration::from_secs(20)).unwrap();
        waiter.join().unwrap();
        assert_eq!(limits.used().0, 0);
    }

    #[test]
    fn a_reader_finds_a_connection_when_recalls_have_theirs() {
        let limits = limits(10, 4);
        let recalls: Vec<_> = (0..3).map(|_| limits.connection(Use::Recall, 1)).collect();
        let _reader = limits.connection(Use::Read, 1);
        assert_eq!(limits.used().1, 4);
        let (said, heard) = mpsc::channel();
        let other = Arc::clone(&limits);
        let waiter = thread::spawn(move || {
            let _connection = other.connection(Use::Recall, 1);
            said.send(()).unwrap();
        });
        let early = heard.recv_timeout(Duration::from_millis(50));
        assert!(early.is_err(), "recalls have three of four");
        drop(recalls);
        heard.recv_timeout(Duration::from_secs(20)).unwrap();
        waiter.join().unwrap();
    }

    #[test]
    fn connections_for_much_take_half_of_the_memory_and_those_for_little_find_room() {
        let limits = limits(8 * BUFFER, 64);
        let recalls: Vec<_> = (0..3)
            .map(|_| limits.connection(Use::Recall, 8 * BUFFER))
            .collect();
        assert_eq!(limits.used(), (3 * BUFFER, 3));
        let (said, heard) = mpsc::channel();
        let other = Arc::clone(&limits);
        let waiter = thread::spawn(move || {
            let _connection = other.connection(Use::Recall, BUFFER);
            said.send(()).unwrap();
        });
        let early = heard.recv_timeout(Duration::from_millis(50));
        assert!(early.is_err(), "recalls have three quarters of a half");
        let _small = limits.connection(Use::Read, 1000);
        // What came has the rest.
        let _came = limits.memory(5 * BUFFER - 1000);
        drop(recalls);
        heard.recv_timeout(Duration::from_secs(20)).unwrap();
        waiter.join().unwrap();
    }

    #[test]
    fn a_rate_is_kept_and_idle_time_is_not_saved_up() {
        let mut rate = Rate {
            limit: 1000,
            paid: None,
        };
        let now = Instant::now();
        assert_eq!(rate.pause(500, now), Duration::from_millis(500));
        assert_eq!(rate.pause(500, now), Duration::from_secs(1));
        let later = now + Duration::from_secs(10);
        assert_eq!(rate.pause(100, later), Duration::from_millis(100));
        rate.limit = 0;
        assert_eq!(rate.pause(100, later), Duration::ZERO);
    }
}
