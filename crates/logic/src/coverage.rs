// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Which bytes of something are present, which are in flight, and which are missing. Only a map: who asks for bytes,
//! and who waits for them, is in [`crate::objects::object`].

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ops::Range;

/// See the module. `T`: what an extent's bytes are in, which is handed out as copies.
#[derive(Debug)]
pub struct Coverage<T> {
    /// By where they begin. They do not overlap.
    present: BTreeMap<u64, Extent<T>>,
    /// Begin and end of what requests are out for.
    in_flight: BTreeMap<u64, u64>,
}

/// Bytes that are present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent<T> {
    /// Which.
    pub range: Range<u64>,
    /// What they are in.
    pub data: T,
}

/// Where a byte is, and how far that is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place<T> {
    /// In this extent.
    Present(Extent<T>),
    /// A request is out for all bytes up to `until`.
    InFlight {
        /// The first byte that it is not for.
        until: u64,
    },
    /// Nobody has it or fetches it.
    Missing {
        /// The first byte for which that is not so, or that was not asked about.
        until: u64,
    },
}

impl<T> Default for Coverage<T> {
    fn default() -> Self {
        Self {
            present: BTreeMap::new(),
            in_flight: BTreeMap::new(),
        }
    }
}

impl<T: Clone> Coverage<T> {
    /// Where the byte at `at` is; nobody asks about `end` and beyond.
    #[must_use]
    pub fn place(&self, at: u64, end: u64) -> Place<T> {
        if let Some((_, extent)) = self.present.range(..=at).next_back()
            && extent.range.end > at
        {
            return Place::Present(extent.clone());
        }
        if let Some((_, &until)) = self.in_flight.range(..=at).next_back()
            && until > at
        {
            return Place::InFlight { until };
        }
        let present = self.present.range(at..).next().map(|(&start, _)| start);
        let in_flight = self.in_flight.range(at..).next().map(|(&start, _)| start);
        let until = [present, in_flight].into_iter().flatten().min();
        Place::Missing {
            until: until.map_or(end, |until| until.min(end)),
        }
    }

    /// What is missing, in pieces of at most `most` bytes.
    #[must_use]
    pub fn gaps(&self, range: &Range<u64>, most: u64) -> Vec<Range<u64>> {
        let (mut at, mut gaps) = (range.start, Vec::new());
        while at < range.end {
            match self.place(at, range.end) {
                Place::Present(extent) => at = extent.range.end,
                Place::InFlight { until } => at = until,
                Place::Missing { until } => {
                    let until = until.min(at.saturating_add(most.max(1)));
                    gaps.push(at..until);
                    at = until;
                }
            }
        }
        gaps
    }

    /// The extents that a range is in, if all of it is present.
    #[must_use]
    pub fn extents(&self, range: &Range<u64>) -> Option<Vec<Extent<T>>> {
        let (mut at, mut extents) = (range.start, Vec::new());
        while at < range.end {
            let Place::Present(extent) = self.place(at, range.end) else {
                return None;
            };
            at = extent.range.end;
            extents.push(extent);
        }
        Some(extents)
    }

    /// A request is out for a range that was missing.
    pub fn request(&mut self, range: &Range<u64>) {
        self.in_flight.insert(range.start, range.end);
    }

    /// The first bytes of what a request was out for have come.
    pub fn arrive(&mut self, range: Range<u64>, data: T) {
        if let Some(until) = self.in_flight.remove(&range.start)
            && until > range.end
        {
            self.in_flight.insert(range.end, until);
        }
        self.present.insert(range.start, Extent { range, data });
    }

    /// What a request is still out for, from `start` on, will not come.
    pub fn give_up(&mut self, start: u64) {
        self.in_flight.remove(&start);
    }

    /// The bytes of the extent that begins at `start`.
    #[must_use]
    pub fn extent_at(&self, start: u64) -> Option<Range<u64>> {
        Some(self.present.get(&start)?.range.clone())
    }

    /// The extent that begins at `start` is not kept.
    pub fn evict(&mut self, start: u64) -> Option<T> {
        Some(self.present.remove(&start)?.data)
    }
}

#[cfg(test)]
mod tests;
