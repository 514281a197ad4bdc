// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs a depth against stores that are simulated: virtual time, so a minute takes milliseconds and every run is the same.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::Depth;

/// A store: each request takes `latency`, and `per_second` of them begin in a second.
#[derive(Clone, Copy)]
struct Store {
    latency: Duration,
    per_second: f64,
    /// With more than this in flight it answers "slow down".
    most: usize,
}

const NEAR: Store = Store {
    latency: Duration::from_millis(2),
    per_second: 600.0,
    most: usize::MAX,
};
const FAR: Store = Store {
    latency: Duration::from_millis(40),
    per_second: 100_000.0,
    most: usize::MAX,
};

/// A client of a store.
struct Client {
    depth: Depth,
    now: Instant,
    /// When requests end, whether they were served, and when they began.
    flying: BinaryHeap<Reverse<(Instant, bool, Instant)>>,
    /// When the store can begin the next request.
    free: Instant,
    done: u64,
    refused: u64,
    /// Of the noise: the same in every run.
    seed: u64,
}

impl Client {
    fn new(depth: Depth) -> Self {
        let now = Instant::now();
        Self {
            depth,
            now,
            flying: BinaryHeap::new(),
            free: now,
            done: 0,
            refused: 0,
            seed: 1,
        }
    }

    /// A number from 0 to 1.
    fn chance(&mut self) -> f64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.seed >> 40) as f64 / f64::from(1 << 24)
    }

    /// Sends requests for `time`, of which `demand` are waiting or in flight at any time. Returns how many are served in
    /// a second.
    fn run(&mut self, store: Store, demand: usize, time: Duration) -> f64 {
        let (end, before) = (self.now + time, self.done);
        loop {
            while self.flying.len() < self.depth.get().min(demand) {
                let served = self.flying.len() < store.most;
                // Answers take up to a fifth more or less.
                let latency = store.latency.mul_f64(0.8 + 0.4 * self.chance());
                let begins = self.free.max(self.now);
                if served {
                    self.free = begins + Duration::from_secs_f64(1.0 / store.per_second);
                }
                self.flying
                    .push(Reverse((begins + latency, served, self.now)));
            }
            let Some(Reverse((at, served, started))) = self.flying.pop() else {
                unreachable!("a depth is at least one");
            };
            self.now = at;
            if served {
                self.done += 1;
                self.depth.answered(at - started);
                let full = self.flying.len() < demand && demand > self.depth.get();
                self.depth.did(1, 1, full, at);
            } else {
                self.refused += 1;
                self.depth.throttled(at);
            }
            if at >= end {
                return (self.done - before) as f64 / time.as_secs_f64();
            }
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_far_store_gets_as_many_requests_as_there_are() {
    let mut client = Client::new(Depth::new(16, 64, 4, 256));
    let first = client.run(FAR, 200, SECOND);
    let ideal = 200.0 / FAR.latency.as_secs_f64();
    assert!(
        first > 0.4 * ideal,
        "{first} of {ideal} in the first second"
    );
    let later = client.run(FAR, 200, 10 * SECOND);
    assert!(later > 0.9 * ideal, "{later} of {ideal}");
}

#[test]
fn a_near_store_gets_no_more_than_it_can_use() {
    let mut client = Client::new(Depth::new(16, 64, 4, 256));
    let rate = client.run(NEAR, 1000, MINUTE);
    assert!(rate > 0.97 * NEAR.per_second, "{rate}");
    assert!(client.depth.get() <= 24, "{}", client.depth.get());
}

#[test]
fn the_ceiling_holds_and_the_least_too() {
    let mut client = Client::new(Depth::new(16, 64, 4, 256));
    client.depth.set_ceiling(5);
    client.run(FAR, 1000, MINUTE);
    assert_eq!(client.depth.get(), 5);
    let refusing = Store { most: 0, ..FAR };
    client.run(refusing, 10, SECOND);
    assert_eq!(client.depth.get(), 4);
}

#[test]
fn a_store_that_asks_for_less_gets_less() {
    let store = Store { most: 40, ..FAR };
    let mut client = Client::new(Depth::new(16, 64, 4, 256));
    let rate = client.run(store, 1000, MINUTE);
    let ideal = 40.0 / FAR.latency.as_secs_f64();
    assert!(rate > 0.6 * ideal, "{rate} of {ideal}");
    let refused = client.refused as f64 / client.done as f64;
    assert!(refused < 0.05, "{refused} of the requests were refused");
}

#[test]
fn a_store_that_becomes_slow_is_not_buried() {
    let mut client = Client::new(Depth::new(16, 64, 4, 256));
    let fast = Store {
        per_second: 2000.0,
        ..FAR
    };
    client.run(fast, 1000, MINUTE);
    let before = client.depth.get();
    assert!(before >= 64, "{before}");
    let slow = Store {
        per_second: 200.0,
        ..FAR
    };
    let rate = client.run(slow, 1000, 5 * MINUTE);
    assert!(rate > 190.0, "{rate}");
    assert!(client.depth.get() <= before / 2, "{}", client.depth.get());
    // And when it is fast again.
    let rate = client.run(fast, 1000, 5 * MINUTE);
    assert!(rate > 1600.0, "{rate} at {}", client.depth.get());
}

#[test]
fn who_asks_for_little_teaches_only_how_far_it_is() {
    for (store, depth) in [(NEAR, 16), (FAR, 64)] {
        let mut client = Client::new(Depth::new(16, 64, 4, 256));
        client.run(store, 10, MINUTE);
        assert_eq!(client.depth.get(), depth);
    }
}
