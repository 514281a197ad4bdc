// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Records which bytes of an object are present, in flight or missing. Requests and waiting readers are handled by
//! [`crate::objects::object`].

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ops::Range;

/// A map of byte ranges. `T`: a handle to an extent's bytes, which is cloned for callers.
#[derive(Debug)]
pub struct Coverage<T> {
    /// By start offset; extents do not overlap.
    present: BTreeMap<u64, Extent<T>>,
    /// Start and end of the ranges requested but not yet received.
    in_flight: BTreeMap<u64, u64>,
}

/// A range of bytes that is present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent<T> {
    /// The range.
    pub range: Range<u64>,
    /// The handle to the bytes.
    pub data: T,
}

/// The state of a byte, and up to where the following bytes have the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a, T> {
    /// Present, in this extent.
    Present(&'a Extent<T>),
    /// Requested.
    InFlight {
        /// The end of the request.
        until: u64,
    },
    /// Neither present nor requested.
    Missing {
        /// The first byte that is present or requested, or the end of the queried range.
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
    /// Returns the state of the byte at `at`, in a query that ends at `end`.
    #[must_use]
    pub fn place(&self, at: u64, end: u64) -> Place<'_, T> {
        if let Some((_, extent)) = self.present.range(..=at).next_back()
            && extent.range.end > at
        {
            return Place::Present(extent);
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

    /// Returns the missing parts of `range`, in pieces that end at multiples of `most` bytes: stores divide objects in a
    /// similar way, and have to put together what crosses such a border.
    #[must_use]
    pub fn gaps(&self, range: &Range<u64>, most: u64) -> Vec<Range<u64>> {
        let (mut at, mut gaps) = (range.start, Vec::new());
        while at < range.end {
            match self.place(at, range.end) {
                Place::Present(extent) => at = extent.range.end,
                Place::InFlight { until } => at = until,
                Place::Missing { until } => {
                    let most = most.max(1);
                    let until = until.min((at / most).saturating_add(1).saturating_mul(most));
                    gaps.push(at..until);
                    at = until;
                }
            }
        }
        gaps
    }

    /// Returns the extents that contain `range`, if all of it is present.
    #[must_use]
    pub fn extents(&self, range: &Range<u64>) -> Option<Vec<Extent<T>>> {
        let (mut at, mut extents) = (range.start, Vec::new());
        while at < range.end {
            let Place::Present(extent) = self.place(at, range.end) else {
                return None;
            };
            at = extent.range.end;
            extents.push(extent.clone());
        }
        Some(extents)
    }

    /// Records a request for a range that was missing.
    pub fn request(&mut self, range: &Range<u64>) {
        self.in_flight.insert(range.start, range.end);
    }

    /// Records that the first bytes of a request's remaining range have arrived.
    pub fn arrive(&mut self, range: Range<u64>, data: T) {
        if let Some(until) = self.in_flight.remove(&range.start)
            && until > range.end
        {
            self.in_flight.insert(range.end, until);
        }
        self.present.insert(range.start, Extent { range, data });
    }

    /// Records that the rest of a request, from `start` on, has failed.
    pub fn give_up(&mut self, start: u64) {
        self.in_flight.remove(&start);
    }

    /// Returns the range of the extent that begins at `start`.
    #[must_use]
    pub fn extent_at(&self, start: u64) -> Option<Range<u64>> {
        Some(self.present.get(&start)?.range.clone())
    }

    /// Removes the extent that begins at `start`, and returns its handle.
    pub fn evict(&mut self, start: u64) -> Option<T> {
        Some(self.present.remove(&start)?.data)
    }
}

#[cfg(test)]
mod tests;
