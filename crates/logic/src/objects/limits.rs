// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Process-wide budgets: memory for bytes of objects, connections, bytes per second. All instances share them; the most
//! recently applied settings win.

#![forbid(unsafe_code)]

mod connections;

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
pub use connections::Use;
use connections::{BUFFER, Connections};

/// A holder of chunks that can be evicted.
pub trait Evict: std::fmt::Debug + Send + Sync {
    /// Evicts the chunk at `at`, unless a waiting read needs it. Returns whether the holder no longer has it.
    fn evict(&self, at: u64) -> bool;
}

/// The budgets of this process.
pub static LIMITS: LazyLock<Limits> = LazyLock::new(Limits::default);

/// The budgets, and what is used of them.
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
    /// Used by chunks.
    used: u64,
    /// Reserved for the connections' receive buffers.
    buffers: u64,
    /// Chunks that may be evicted, oldest first.
    evictable: VecDeque<(Weak<dyn Evict>, u64)>,
}

#[derive(Debug, Default)]
struct Rate {
    /// Bytes per second; 0: unlimited.
    limit: u64,
    /// The time until which the bytes received so far use up the rate.
    paid: Option<Instant>,
}

/// A reservation of memory, released on drop.
#[derive(Debug)]
pub struct Lease<'a> {
    limits: &'a Limits,
    bytes: u64,
}

/// The permit for a connection, released on drop.
#[derive(Debug)]
pub struct Connection<'a> {
    limits: &'a Limits,
    purpose: Use,
    _ahead: Ahead<'a>,
}

/// A reservation for a connection's receive buffer, released on drop. Counted under both locks, because connections
/// wait under one and chunks under the other.
#[derive(Debug)]
pub struct Ahead<'a> {
    limits: &'a Limits,
    purpose: Use,
    bytes: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Limits {
    /// Applies the settings.
    pub fn set(&self, config: &Config) {
        lock(&self.memory).limit = config.memory;
        let mut connections = lock(&self.connections);
        connections.limit = config.connections;
        connections.max_buffers = config.memory / 2;
        drop(connections);
        lock(&self.rate).limit = config.rate;
        self.freed.notify_all();
        self.closed.notify_all();
    }

    /// The number of bytes of memory and of connections in use.
    #[must_use]
    pub fn used(&self) -> (u64, usize) {
        let memory = lock(&self.memory);
        let bytes = memory.used + memory.buffers;
        drop(memory);
        (bytes, lock(&self.connections).used)
    }

    /// The maximum read-ahead of a file, in bytes.
    #[must_use]
    pub fn read_ahead(&self) -> u64 {
        lock(&self.memory).limit / 2
    }

    /// How often a recall did without another connection for lack of memory.
    #[must_use]
    pub fn refused(&self) -> u64 {
        lock(&self.connections).refused
    }

    /// Reserves memory. Blocks until enough is free, and evicts chunks for that.
    pub fn memory(&self, bytes: u64) -> Lease<'_> {
        let mut memory = lock(&self.memory);
        let mut needed = 0;
        // Always admit one request, so that it cannot deadlock on itself.
        while memory.used > 0 && memory.used + bytes > memory.for_chunks() {
            if needed < memory.evictable.len()
                && let Some((holder, at)) = memory.evictable.pop_front()
            {
                // Evicting releases the chunk's memory, which takes the lock.
                drop(memory);
                let stays = holder.upgrade().is_some_and(|holder| !holder.evict(at));
                memory = lock(&self.memory);
                if stays {
                    memory.evictable.push_back((holder, at));
                    needed += 1;
                }
            } else if needed > 0 {
                // Waiting reads need every chunk in memory and may need this one too: waiting here could deadlock.
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

    /// Allows the chunk at `at` of `holder` to be evicted when memory is short.
    pub fn add_evictable<E: Evict + 'static>(&self, holder: &Arc<E>, at: u64) {
        const MANY: usize = 4096;
        let holder: Weak<E> = Arc::downgrade(holder);
        let mut memory = lock(&self.memory);
        if memory.evictable.len() >= MANY {
            memory
                .evictable
                .retain(|(holder, _)| holder.strong_count() > 0);
        }
        memory.evictable.push_back((holder, at));
        drop(memory);
        self.freed.notify_all();
    }

    /// Reserves the receive buffer of one more connection for a recall that has one already; `None` if there is no
    /// room. Does not wait, since the recall can continue with the connections that it has.
    pub fn more(&self) -> Option<Ahead<'_>> {
        let mut connections = lock(&self.connections);
        if !connections.has_room_for_more() {
            return None;
        }
        Some(self.ahead(connections, Use::More, BUFFER))
    }

    fn ahead(
        &self,
        mut connections: MutexGuard<'_, Connections>,
        purpose: Use,
        bytes: u64,
    ) -> Ahead<'_> {
        *connections.buffers(purpose) += bytes;
        drop(connections);
        lock(&self.memory).buffers += bytes;
        Ahead {
            limits: self,
            purpose,
            bytes,
        }
    }

    /// Takes a connection for a request of `bytes` bytes. Blocks until one is free.
    pub fn connection(&self, purpose: Use, bytes: u64) -> Connection<'_> {
        let buffer = purpose.buffer(bytes);
        let mut connections = lock(&self.connections);
        loop {
            if connections.has_room(purpose, buffer) {
                break;
            }
            connections = self
                .closed
                .wait(connections)
                .unwrap_or_else(PoisonError::into_inner);
        }
        connections.open(purpose);
        Connection {
            limits: self,
            purpose,
            _ahead: self.ahead(connections, purpose, buffer),
        }
    }

    /// Records that `bytes` bytes have arrived, and sleeps until the rate allows more.
    pub fn pace(&self, bytes: u64) {
        let pause = lock(&self.rate).pause(bytes, Instant::now());
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
}

impl Memory {
    /// The memory for chunks: the limit less the receive buffers, but at least half of the limit.
    fn for_chunks(&self) -> u64 {
        self.limit - self.buffers.min(self.limit / 2)
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
        *lock(&self.limits.connections).buffers(self.purpose) -= self.bytes;
        self.limits.closed.notify_all();
        lock(&self.limits.memory).buffers -= self.bytes;
        self.limits.freed.notify_all();
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        lock(&self.limits.connections).close(self.purpose);
        self.limits.closed.notify_all();
    }
}

#[cfg(test)]
mod tests;
