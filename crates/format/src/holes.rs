// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The map of a sparse file's holes, as an object's metadata and a cold file's record have it.
//!
//! The text is `1` (the version), and `:SKIP+LENGTH` for each hole, in order: hexadecimal numbers of blocks of 64 KiB. `SKIP`
//! counts from the end of the hole before, or from the beginning. The last block of a hole may reach beyond the file's end. A
//! map need not have all holes: what is not in it is data, and may be zeros, too.
//!
//! A map is a hint. Whoever relies on it compares the checksum of the whole file, with the holes counted as zeros.

use std::fmt;
use std::ops::Range;

/// The unit of the map in bytes: smaller holes are not worth a request of their own.
pub const BLOCK: u64 = 64 << 10;
/// The longest text. The bricks keep it beside the other attributes of a cold file.
pub const LONGEST: usize = 900;
const VERSION: &str = "1";

/// Holes of a file, in order; they neither touch nor overlap. No holes: nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holes {
    /// In blocks.
    blocks: Vec<Range<u64>>,
}

impl Holes {
    /// The largest of these holes, as many as fit into a text of at most `most` characters, reduced to whole blocks.
    ///
    /// `holes`: byte ranges in order, which do not overlap; `size`: the file's, in bytes.
    #[must_use]
    pub fn largest(holes: &[Range<u64>], size: u64, most: usize) -> Self {
        let whole = |hole: &Range<u64>| {
            let end = match hole.end >= size {
                true => size.div_ceil(BLOCK),
                false => hole.end / BLOCK,
            };
            let start = hole.start.div_ceil(BLOCK);
            (start < end).then_some(start..end)
        };
        let mut blocks: Vec<Range<u64>> = Vec::new();
        for hole in holes.iter().filter_map(whole) {
            match blocks.last_mut() {
                Some(last) if last.end >= hole.start => last.end = last.end.max(hole.end),
                _ => blocks.push(hole),
            }
        }
        let mut by_size = blocks.clone();
        by_size.sort_by_key(|hole| std::cmp::Reverse(hole.end - hole.start));
        // No hole takes less than four characters.
        by_size.truncate(most / 4);
        loop {
            let mut chosen = Self {
                blocks: by_size.clone(),
            };
            chosen.blocks.sort_by_key(|hole| hole.start);
            if chosen.is_empty() || chosen.to_string().len() <= most {
                return chosen;
            }
            by_size.pop();
        }
    }

    /// Parses a text; `None` if it is not a map of this version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        if text.len() > LONGEST || parts.next() != Some(VERSION) {
            return None;
        }
        let number = |text: &str| {
            let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            plain.then(|| u64::from_str_radix(text, 16).ok())?
        };
        let mut blocks: Vec<Range<u64>> = Vec::new();
        for part in parts {
            let (skip, length) = part.split_once('+')?;
            let (skip, length) = (number(skip)?, number(length)?);
            let before = blocks.last().map(|hole| hole.end);
            let start = before.unwrap_or(0).checked_add(skip)?;
            let end = start.checked_add(length)?;
            if length == 0 || (skip == 0 && before.is_some()) || end > u64::MAX / BLOCK {
                return None;
            }
            blocks.push(start..end);
        }
        Some(Self { blocks })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The holes in bytes, in a file of `size` bytes; none if one begins beyond its end.
    #[must_use]
    pub fn in_file(&self, size: u64) -> Vec<Range<u64>> {
        let bytes = |hole: &Range<u64>| {
            let hole = hole.start * BLOCK..(hole.end * BLOCK).min(size);
            (!hole.is_empty()).then_some(hole)
        };
        let holes: Option<Vec<_>> = self.blocks.iter().map(bytes).collect();
        holes.unwrap_or_default()
    }
}

impl fmt::Display for Holes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(VERSION)?;
        let mut at = 0;
        for hole in &self.blocks {
            write!(f, ":{:x}+{:x}", hole.start - at, hole.end - hole.start)?;
            at = hole.end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_whole_blocks_and_the_file_s_end() {
        let size = 10 * BLOCK + 7;
        let holes = [1..3 * BLOCK - 1, 4 * BLOCK..5 * BLOCK + 9, 9 * BLOCK..size];
        let map = Holes::largest(&holes, size, LONGEST);
        assert_eq!(map.to_string(), "1:1+1:2+1:4+2");
        let of = [BLOCK..2 * BLOCK, 4 * BLOCK..5 * BLOCK, 9 * BLOCK..size];
        assert_eq!(map.in_file(size), of);
        assert_eq!(Holes::parse("1:1+1:2+1:4+2"), Some(map.clone()));
        assert_eq!(map.in_file(9 * BLOCK), [], "it is another file's");
        let all = Holes::largest(std::slice::from_ref(&(0..size)), size, LONGEST);
        assert_eq!(all.to_string(), "1:0+b");
        assert_eq!(all.in_file(size).first(), Some(&(0..size)));
    }

    #[test]
    fn the_largest_holes_are_named_if_not_all_fit() {
        let holes: Vec<_> = (0..1000)
            .map(|number| {
                let start = number * 100 * BLOCK;
                start..start + (1 + number % 50) * BLOCK
            })
            .collect();
        let size = 100_000 * BLOCK;
        for most in [LONGEST, 100, 20, 5, 0] {
            let map = Holes::largest(&holes, size, most);
            assert!(map.is_empty() || map.to_string().len() <= most, "{map}");
            assert_eq!(map.is_empty(), most < 6, "{most}");
            assert_eq!(Holes::parse(&map.to_string()), Some(map.clone()));
            let named = map.in_file(size);
            assert!(named.iter().all(|hole| holes.contains(hole)));
            let least = named.iter().map(|hole| hole.end - hole.start).min();
            assert!(least.is_none_or(|least| least > 25 * BLOCK), "{least:?}");
        }
    }

    #[test]
    fn what_is_no_map_is_none() {
        let long = format!("1{}", ":1+1".repeat(LONGEST));
        for text in [
            "",
            "2:0+1",
            "1:",
            "1:0",
            "1:0+0",
            "1:+1",
            "1:0+1:0+1",
            "1:-1+1",
            "1:0++1",
            "1:0+1,",
            "1:0+g",
            "1:ffffffffffffffff+1",
            "1:0+ffffffffffffffff",
            &long,
        ] {
            let map = Holes::parse(text);
            assert!(map.is_none(), "{text}: {map:?}");
        }
        assert!(Holes::parse("1").unwrap().is_empty());
    }

    /// A map is in order, within the file, and survives.
    #[test]
    fn fuzz() {
        const CORPUS: &[&str] = &["1", "1:0+b", "1:1+1:2+1:4+2", "1:fff+10:1+ffffff", "2:0+1"];
        cloudsync_fuzz::fuzz(CORPUS, |text| {
            let Some(map) = Holes::parse(text) else {
                return;
            };
            assert_eq!(Holes::parse(&map.to_string()), Some(map.clone()));
            for size in [0, 1, BLOCK, 5 * BLOCK + 3, u64::MAX] {
                let mut at = 0;
                for hole in map.in_file(size) {
                    assert!(hole.start >= at && hole.start < hole.end && hole.end <= size);
                    at = hole.end;
                }
            }
        });
    }
}
