// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Random numbers that are the same for the same seed (splitmix64).

use std::time::Duration;

/// One step of splitmix64: numbers that are close together have results that are not.
pub(crate) const fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A sequence of random numbers.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence with that number of a run.
    pub(crate) fn new(seed: u64, sequence: u64) -> Self {
        Self(mixed(seed ^ mixed(sequence)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number below `end`; 0 if that is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or(0)
    }

    /// A number of that range, both ends included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Whether something happens that happens that often of a hundred times.
    pub(crate) fn percent(&mut self, often: u64) -> bool {
        self.below(100) < often
    }

    /// One of these.
    pub(crate) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// A time of that range, in milliseconds.
    pub(crate) fn time(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }

    /// These in a random order.
    pub(crate) fn shuffled<T>(&mut self, mut these: Vec<T>) -> Vec<T> {
        for end in (1..these.len()).rev() {
            these.swap(end, self.below(end as u64 + 1) as usize);
        }
        these
    }
}
