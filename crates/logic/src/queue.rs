// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A queue of the parts of an object that are still to be fetched; parts that readers wait for come first.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sizes::PART;

/// The ranges not yet started.
#[derive(Debug)]
pub struct Parts(Mutex<VecDeque<Range<u64>>>);

impl Parts {
    /// Creates the queue for the first `size` bytes of an object.
    #[must_use]
    pub fn of(size: u64) -> Self {
        Self::between(size, &[])
    }

    /// As [`Self::of`], without `holes`, which are in order and within `size`.
    #[must_use]
    pub fn between(size: u64, holes: &[Range<u64>]) -> Self {
        let starts = std::iter::once(0).chain(holes.iter().map(|hole| hole.end));
        let ends = holes.iter().map(|hole| hole.start).chain([size]);
        let data = starts.zip(ends).map(|(start, end)| start..end);
        Self(Mutex::new(data.filter(|range| !range.is_empty()).collect()))
    }

    /// Adds what was left out.
    pub fn add(&self, ranges: &[Range<u64>]) {
        self.lock().extend(ranges.iter().cloned());
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Range<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes and returns the next part. Parts end at multiples of [`PART`].
    #[must_use]
    pub fn next(&self) -> Option<Range<u64>> {
        let mut left = self.lock();
        let first = left.pop_front().filter(|range| !range.is_empty())?;
        let end = first.end.min((first.start / PART + 1) * PART);
        if end < first.end {
            left.push_front(end..first.end);
        }
        Some(first.start..end)
    }

    /// Returns a lower bound of the number of parts left, at most `most`.
    #[must_use]
    pub fn left(&self, most: usize) -> usize {
        let bytes: u64 = self
            .lock()
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        usize::try_from(bytes.div_ceil(PART)).map_or(most, |parts| parts.min(most))
    }

    /// Moves the range from `at` on to the front of the queue, because a reader waits for it.
    pub fn pull(&self, at: u64) {
        let mut left = self.lock();
        let Some(place) = left.iter().position(|range| range.contains(&at)) else {
            return;
        };
        let Some(range) = left.remove(place) else {
            return;
        };
        if range.start < at {
            left.push_back(range.start..at);
        }
        left.push_front(at..range.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_whole_and_no_larger_than_a_part() {
        for size in [0, 1, PART - 1, PART, PART + 1, 5 * PART + 7] {
            let parts = Parts::of(size);
            let mut at = 0;
            while let Some(part) = parts.next() {
                assert_eq!(part.start, at);
                assert!(part.end > at && part.end - at <= PART);
                at = part.end;
            }
            assert_eq!(at, size);
        }
    }

    #[test]
    fn holes_are_left_out_until_they_are_added() {
        let size = 3 * PART + 9;
        let holes = [0..5, PART - 1..PART + 1, 3 * PART..size];
        let parts = Parts::between(size, &holes);
        // A reader of a hole waits for no part.
        parts.pull(2);
        let rest = || std::iter::from_fn(|| parts.next()).collect::<Vec<_>>();
        let data = [5..PART - 1, PART + 1..2 * PART, 2 * PART..3 * PART];
        assert_eq!(rest(), data);
        parts.add(&holes);
        assert_eq!(
            rest(),
            [0..5, PART - 1..PART, PART..PART + 1, 3 * PART..size]
        );
        let whole = 0..size;
        assert_eq!(
            Parts::between(size, std::slice::from_ref(&whole)).next(),
            None
        );
    }

    #[test]
    fn a_size_that_makes_no_sense_takes_no_memory() {
        let parts = Parts::of(u64::MAX);
        assert_eq!(parts.next(), Some(0..PART));
        assert_eq!(parts.left(4), 4);
    }

    #[test]
    fn what_a_reader_waits_for_comes_next_and_nothing_is_left_out() {
        let size = 10 * PART + 5;
        let parts = Parts::of(size);
        assert_eq!(parts.next(), Some(0..PART));
        parts.pull(0);
        let at = 7 * PART + 100;
        parts.pull(at);
        let mut all = Vec::new();
        while let Some(part) = parts.next() {
            all.push(part);
        }
        assert_eq!(all[..2], [at..8 * PART, 8 * PART..9 * PART]);
        assert!(all.iter().all(|part| part.end - part.start <= PART));
        all.sort_by_key(|part| part.start);
        let end = all.iter().fold(PART, |end, part| {
            assert_eq!(part.start, end);
            part.end
        });
        assert_eq!(end, size);
    }
}
