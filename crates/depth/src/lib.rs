// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Finds how many requests to have in flight at once: the *depth*.
//!
//! A store that is far away answers each request late, but many at once; a near one is busy with few. So the depth is
//! found by trying: [`Depth`] measures how much is done in a time, and goes deeper as long as that brings more. The
//! caller counts what it does ([`Depth::did`]) and obeys [`Depth::get`]. Pure: no clock, no threads, no locks.
//!
//! docs/ARCHITECTURE.md, "How many at once", says what was chosen and why.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// How much more the double depth has to bring while the depth is being found. Less is noise, or costs more than it brings.
const WORTH_DOUBLING: f64 = 1.25;
/// How much more half as deep again has to bring later.
const WORTH_MORE: f64 = 1.10;
/// How much of the work a smaller depth must still do, to be preferred.
const AS_GOOD: f64 = 0.97;
/// The work of a depth fell to less than this: the store has become slower, and a smaller depth may be as good.
const SLOWER: f64 = 0.7;
/// What remains of the depth when the store asks for less.
const BACK_OFF: f64 = 0.7;
/// A store that answers no sooner than this is far away.
const FAR: Duration = Duration::from_millis(10);
/// What takes longer than this says nothing of the store's distance.
const LONGEST_ANSWER: Duration = Duration::from_secs(5);
/// So many answers tell how far.
const ANSWERS: u32 = 4;
/// The shortest time over which work is measured.
const SHORTEST: Duration = Duration::from_millis(100);
/// The first pause between two attempts to find a better depth; it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is being done about the depth.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Doubling, as long as it brings more. `before`: depth and rate of the last measurement, if there was one.
    Doubling { before: Option<(usize, f64)> },
    /// At a depth that is good. `rate`: what it did when it was chosen.
    Steady {
        rate: f64,
        until: Instant,
        pause: Duration,
    },
    /// Trying another depth. `from`, `rate`: the one before, and what it did just now.
    Trying {
        from: usize,
        rate: f64,
        pause: Duration,
    },
}

/// A measurement.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// What is done before this belongs to the depth before.
    from: Instant,
    work: u64,
    /// How many requests ended.
    tasks: usize,
}

/// The depth, and what is known of the store.
#[derive(Clone, Debug)]
pub struct Depth {
    depth: usize,
    least: usize,
    ceiling: usize,
    phase: Phase,
    sample: Option<Sample>,
    /// How long a request takes until it brings anything, smoothed.
    latency: Duration,
    /// The shortest of the first [`ANSWERS`], and how many there were.
    nearest: Duration,
    answers: u32,
    /// Where a far store's depth starts.
    far: usize,
    /// When the store last asked for less.
    throttled: Option<Instant>,
    /// Whether the next attempt tries a smaller depth.
    down_next: bool,
}

impl Depth {
    /// Starts at `near`, or at `far` as soon as the store has turned out to be far away. Never leaves `least..=ceiling`.
    #[must_use]
    pub const fn new(near: usize, far: usize, least: usize, ceiling: usize) -> Self {
        Self {
            depth: near,
            least,
            ceiling,
            phase: Phase::Doubling { before: None },
            sample: None,
            latency: Duration::ZERO,
            nearest: Duration::MAX,
            answers: 0,
            far,
            throttled: None,
            down_next: true,
        }
    }

    /// How many requests to have in flight.
    #[must_use]
    pub fn get(&self) -> usize {
        self.depth.min(self.ceiling).max(1)
    }

    /// Whether the store has turned out to be far away.
    #[must_use]
    pub fn is_far(&self) -> bool {
        self.answers == ANSWERS && self.nearest >= FAR
    }

    /// Changes the largest depth.
    pub const fn set_ceiling(&mut self, ceiling: usize) {
        self.ceiling = ceiling;
    }

    /// A request took so long until it brought anything.
    pub fn answered(&mut self, latency: Duration) {
        let latency = latency.min(LONGEST_ANSWER);
        if self.answers < ANSWERS {
            self.answers += 1;
            self.nearest = self.nearest.min(latency);
            if self.is_far() && self.throttled.is_none() {
                self.depth = self.depth.max(self.far);
                self.phase = Phase::Doubling { before: None };
                self.sample = None;
            }
        }
        self.latency = if self.latency.is_zero() {
            latency
        } else {
            (self.latency * 7 + latency) / 8
        };
    }

    /// Work was done: `work` bytes or files. `tasks`: how many requests ended with it; 0 if `work` is a piece of one.
    /// `full`: more is waiting for its turn; a depth that is not used up says nothing.
    pub fn did(&mut self, work: u64, tasks: usize, full: bool, now: Instant) {
        let Some(sample) = self.sample.as_mut().filter(|_| full) else {
            self.sample = None;
            if full {
                self.measure(now);
            }
            return;
        };
        if now < sample.from {
            return;
        }
        sample.work += work;
        sample.tasks += tasks;
        let took = now - sample.from;
        let Sample {
            work, tasks: ended, ..
        } = *sample;
        let few = tasks > 0 && ended < 2 * self.get();
        if few || took < SHORTEST.max(self.latency * 2) {
            return;
        }
        let rate = work as f64 / took.as_secs_f64();
        self.decide(rate, now);
        self.measure(now);
    }

    /// The store asked for fewer requests.
    pub fn throttled(&mut self, now: Instant) {
        let once = SHORTEST.max(self.latency * 2);
        if self.throttled.is_some_and(|last| now < last + once) {
            return;
        }
        self.throttled = Some(now);
        self.depth = self.scaled(BACK_OFF);
        self.rest(0.0, PAUSE, now);
        self.sample = None;
    }

    /// Begins a measurement, once the requests of the depth before have ended.
    fn measure(&mut self, now: Instant) {
        self.sample = Some(Sample {
            from: now + self.latency + self.latency / 2,
            work: 0,
            tasks: 0,
        });
    }

    fn scaled(&self, factor: f64) -> usize {
        let depth = (self.get() as f64 * factor).round() as usize;
        let moved = if factor > 1.0 {
            depth.max(self.get() + 1)
        } else {
            depth.min(self.get().saturating_sub(1))
        };
        moved.max(self.least).min(self.ceiling).max(1)
    }

    fn rest(&mut self, rate: f64, pause: Duration, now: Instant) {
        let until = now + pause.max(self.latency * 8);
        self.phase = Phase::Steady { rate, until, pause };
    }

    /// `rate` was done at the present depth.
    fn decide(&mut self, rate: f64, now: Instant) {
        match self.phase {
            Phase::Doubling { before } => {
                if let Some((depth, least)) = before
                    && rate < least * WORTH_DOUBLING
                {
                    if rate < least * WORTH_MORE {
                        self.depth = depth;
                    }
                    return self.rest(rate.max(least), PAUSE, now);
                }
                let depth = self.get();
                self.depth = self.scaled(2.0);
                if self.get() == depth {
                    return self.rest(rate, PAUSE, now);
                }
                self.phase = Phase::Doubling {
                    before: Some((depth, rate)),
                };
            }
            Phase::Steady {
                rate: best,
                until,
                pause,
            } => {
                let slower = rate < best * SLOWER;
                if now < until && !slower {
                    return;
                }
                let from = self.get();
                let down = slower || self.down_next;
                self.down_next = !down;
                self.depth = self.scaled(if down { 0.75 } else { 1.5 });
                if self.get() == from {
                    return self.rest(rate, pause, now);
                }
                self.phase = Phase::Trying { from, rate, pause };
            }
            Phase::Trying {
                from,
                rate: before,
                pause,
            } => {
                let down = self.get() < from;
                let needed = before * if down { AS_GOOD } else { WORTH_MORE };
                if rate >= needed {
                    // On in the same direction.
                    self.down_next = down;
                    self.rest(rate, PAUSE, now);
                } else {
                    self.depth = from;
                    self.rest(before, (pause * 2).min(LONGEST_PAUSE), now);
                }
            }
        }
    }
}
