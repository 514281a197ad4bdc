// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! How long to wait for a request with a body. Not for its end, which a slow line may take an hour for, but for the next
//! sign of life: a connection that the network has swallowed shows none.
//!
//! A sign of life is that the connection takes more of the body. But the kernel takes up to [`BUFFERED`] bytes at once,
//! and sends them in silence. So on a slow line the silence may be as long as that many bytes need, at the speed of this
//! request or of earlier ones.

#![forbid(unsafe_code)]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most that a connection's buffers hold: Linux's largest by default, for sending.
pub(crate) const BUFFERED: u64 = 4 << 20;
/// The longest silence.
const LONGEST: Duration = Duration::from_secs(120);
/// A body below this size shows how far the store is, not how fast the line.
const TELLING: u64 = 128 << 10;
/// The share of the earlier value in a speed that falls; one that rises counts at once.
const INERTIA: f64 = 0.8;

/// The line to a store, as measured by the uploads on it.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Seconds per byte of one connection, of the slower ones.
    slowness: Mutex<f64>,
}

/// How far a request's body has got.
#[derive(Debug)]
pub(crate) struct Moved {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    bytes: u64,
    last: Instant,
}

impl Line {
    /// How long to wait for the next sign of life of a request with a body of `size` bytes, of which `moved` are taken:
    /// at least `least`, and twice as long for each time that it has been `tried` before.
    pub(crate) fn patience(
        &self,
        least: Duration,
        size: u64,
        moved: &Moved,
        tried: u32,
    ) -> Duration {
        let State { bytes, last } = *moved.state();
        let took = last.saturating_duration_since(moved.began).as_secs_f64();
        let own = if bytes == 0 { 0.0 } else { took / bytes as f64 };
        let slowness = own.max(*self.slowness());
        // Twice, because connections share the line unevenly.
        let silence = 2.0 * slowness * size.min(BUFFERED) as f64;
        let silence = Duration::try_from_secs_f64(silence).unwrap_or(LONGEST);
        let doubled = least.saturating_mul(1 << tried.min(16));
        silence.max(doubled).min(LONGEST.max(least))
    }

    /// Records that a request with a body of `size` bytes was answered after `took`.
    pub(crate) fn answered(&self, size: u64, took: Duration) {
        if size >= TELLING {
            let now = took.as_secs_f64() / size as f64;
            let mut slowness = self.slowness();
            *slowness = now.max(*slowness * INERTIA + now * (1.0 - INERTIA));
        }
    }

    fn slowness(&self) -> MutexGuard<'_, f64> {
        self.slowness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Moved {
    pub(crate) fn new() -> Self {
        let began = Instant::now();
        let state = Mutex::new(State {
            bytes: 0,
            last: began,
        });
        Self { began, state }
    }

    /// The connection took this many bytes; 0 if it is us who wait.
    pub(crate) fn by(&self, bytes: usize) {
        let mut state = self.state();
        state.bytes += bytes as u64;
        state.last = Instant::now();
    }

    /// When it last moved.
    pub(crate) fn last(&self) -> Instant {
        self.state().last
    }

    /// How many bytes the connection took.
    pub(crate) fn bytes(&self) -> u64 {
        self.state().bytes
    }

    /// How long ago the request began.
    pub(crate) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(10);
    const PART: u64 = 16 << 20;

    fn moved(bytes: u64, seconds: u64) -> Moved {
        let last = Instant::now();
        let began = last.checked_sub(Duration::from_secs(seconds)).unwrap();
        let state = Mutex::new(State { bytes, last });
        Moved { began, state }
    }

    /// What the network swallows costs seconds, and each retry waits longer.
    #[test]
    fn silence_on_a_fast_line_is_short() {
        let line = Line::default();
        let patience = |moved: &Moved, tried| line.patience(LEAST, PART, moved, tried).as_secs();
        // All at once into the kernel's buffer, at 20 MB/s, and at 1 MB/s.
        for moved in [moved(3 << 20, 0), moved(16 << 20, 1), moved(16 << 20, 16)] {
            assert_eq!(patience(&moved, 0), 10);
        }
        assert_eq!(patience(&moved(0, 0), 2), 40);
        assert_eq!(patience(&moved(0, 0), 9), LONGEST.as_secs());
    }

    /// Eight parts on an uplink of 2 Mbit/s: 31 KB/s each.
    #[test]
    fn silence_on_a_slow_line_may_be_long() {
        let line = Line::default();
        let slow = moved(8 << 20, 270);
        assert_eq!(line.patience(LEAST, PART, &slow, 0), LONGEST);
        // Less than the buffer is left to be sent: 500 KB in 16 s.
        let small = moved(500 << 10, 16);
        assert_eq!(line.patience(LEAST, 500 << 10, &small, 0).as_secs(), 32);
    }

    #[test]
    fn earlier_requests_tell_how_slow_the_line_is() {
        let line = Line::default();
        let patience = || {
            line.patience(LEAST, 500 << 10, &moved(500 << 10, 0), 0)
                .as_secs()
        };
        line.answered(1000, Duration::from_secs(5));
        assert_eq!(patience(), 10);
        line.answered(500 << 10, Duration::from_secs(16));
        assert_eq!(patience(), 32);
        // It is forgotten slowly.
        line.answered(500 << 10, Duration::from_millis(100));
        assert!((20..32).contains(&patience()));
        (0..20).for_each(|_| line.answered(500 << 10, Duration::from_millis(100)));
        assert_eq!(patience(), 10);
    }
}
