// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A set of byte ranges; adjacent and overlapping ranges are merged.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of byte ranges, stored as ranges that neither touch nor overlap.
#[derive(Debug, Default)]
pub struct Ranges {
    /// Maps the start of each range to its end.
    map: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds the bytes of `range`. Bytes that are already in the set are not counted twice.
    pub fn insert(&mut self, range: Range<u64>) {
        let Range { mut start, mut end } = range;
        if start >= end {
            return;
        }
        // The only earlier range that can touch this one is the last that starts at or before it.
        if let Some((&left, &left_end)) = self.map.range(..=start).next_back()
            && left_end >= start
        {
            start = left;
            end = end.max(left_end);
        }
        while let Some((&right, &right_end)) = self.map.range(start..=end).next() {
            end = end.max(right_end);
            self.map.remove(&right);
        }
        self.map.insert(start, end);
    }

    /// Whether every byte of `range` is in the set.
    #[must_use]
    pub fn contains(&self, range: Range<u64>) -> bool {
        range.is_empty()
            || self
                .map
                .range(..=range.start)
                .next_back()
                .is_some_and(|(_, &end)| end >= range.end)
    }

    /// The number of bytes in the set.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.map.iter().map(|(start, end)| end - start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_in_any_order() {
        let mut ranges = Ranges::default();
        for range in [10..20, 30..40, 0..5, 20..30, 5..10, 35..50, 60..60] {
            ranges.insert(range);
        }
        assert_eq!(ranges.map.iter().collect::<Vec<_>>(), [(&0, &50)]);
        assert_eq!(ranges.bytes(), 50);
    }

    #[test]
    fn a_hole_is_seen() {
        let mut ranges = Ranges::default();
        ranges.insert(0..10);
        ranges.insert(11..20);
        assert_eq!(ranges.bytes(), 19);
        assert!(!ranges.contains(0..20));
        assert!(ranges.contains(11..20) && ranges.contains(0..10) && ranges.contains(12..13));
        assert!(!ranges.contains(10..11) && !ranges.contains(19..21));
        assert!(ranges.contains(10..10));
    }

    #[test]
    fn agrees_with_a_plain_list_of_bytes() {
        // A small linear congruential generator: the same numbers in every run.
        let mut seed = 7_u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..200 {
            let (mut ranges, mut bytes) = (Ranges::default(), [false; 64]);
            for _ in 0..20 {
                let start = next(64);
                let end = (start + next(12)).min(64);
                ranges.insert(start..end);
                for byte in start..end {
                    bytes[usize::try_from(byte).unwrap()] = true;
                }
                let count = bytes.iter().filter(|there| **there).count();
                assert_eq!(ranges.bytes(), count as u64);
                assert_eq!(ranges.contains(0..64), count == 64);
            }
        }
    }
}
