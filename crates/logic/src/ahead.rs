// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Computes the read-ahead: nothing for random reads, and for sequential ones as much as they need to go on without waiting:
//! several times as much whenever a read had to wait. That is the store's distance times the reader's speed, without
//! measuring either.

#![forbid(unsafe_code)]

use std::ops::Range;

/// Number of sequential streams tracked for each file.
const STREAMS: usize = 4;
/// The first read-ahead of a stream that has become sequential, in bytes.
const FIRST: u64 = 256 << 10;
/// By how many bytes a stream's requests may be out of order, since the kernel and the host have several in flight.
const DISORDER: u64 = 1 << 20;

/// The read streams of a file.
#[derive(Debug, Default)]
pub struct Ahead {
    /// Ordered by last use, most recent last.
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    /// The end of what it has read.
    at: u64,
    ahead: u64,
}

impl Ahead {
    /// Records a read of `range`. `waits`: its bytes are not in memory yet, so the read-ahead grows by this factor. `most`:
    /// the maximum read-ahead in bytes. Returns how many bytes after it are likely to be read next.
    pub fn after(&mut self, range: &Range<u64>, waits: Option<u64>, most: u64) -> u64 {
        let near = |stream: &Stream| {
            range.start <= stream.at.saturating_add(DISORDER)
                && stream.at <= range.end.saturating_add(DISORDER)
        };
        let mut stream = match self.streams.iter().position(near) {
            Some(place) => {
                let mut stream = self.streams.remove(place);
                if range.end > stream.at && (waits.is_some() || stream.ahead == 0) {
                    let grown = stream.ahead.saturating_mul(waits.unwrap_or(1));
                    stream.ahead = grown.clamp(FIRST, most.max(FIRST));
                }
                stream
            }
            None => Stream { at: 0, ahead: 0 },
        };
        stream.at = stream.at.max(range.end);
        let ahead = stream.ahead;
        if self.streams.len() == STREAMS {
            self.streams.remove(0);
        }
        self.streams.push(stream);
        ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: u64 = 128 << 10;
    const MOST: u64 = 8 << 20;

    #[test]
    fn the_view_grows_while_a_reader_waits() {
        let mut ahead = Ahead::default();
        let mut read = |step, waits| ahead.after(&(step * STEP..(step + 1) * STEP), waits, MOST);
        let seen: Vec<u64> = (0..8).map(|step| read(step, Some(4))).collect();
        let k = 1 << 10;
        let grown = [256, 1024, 4096].map(|kib| kib * k);
        assert_eq!(seen[..4], [&[0][..], &grown].concat());
        assert_eq!(seen[4..], [MOST; 4]);
        assert_eq!(read(8, None), MOST, "it does not shrink");
    }

    #[test]
    fn a_reader_who_never_waits_needs_no_more() {
        let mut ahead = Ahead::default();
        for step in 0..100 {
            let seen = ahead.after(&(step * STEP..(step + 1) * STEP), None, MOST);
            assert!(seen <= FIRST, "{seen}");
        }
    }

    #[test]
    fn who_jumps_gets_what_was_asked_for() {
        let mut ahead = Ahead::default();
        for place in [7, 3, 90, 20, 61, 44, 12, 80_u64] {
            let at = place << 30;
            assert_eq!(ahead.after(&(at..at + 4096), Some(2), MOST), 0);
        }
    }

    #[test]
    fn requests_out_of_order_are_one_reader_and_two_readers_are_two() {
        let mut ahead = Ahead::default();
        let far = 1 << 40;
        let mut read = |start: u64, step: u64| {
            ahead.after(
                &(start + step * STEP..start + (step + 1) * STEP),
                Some(2),
                MOST,
            )
        };
        for step in [1, 0, 3, 2, 5, 4] {
            read(0, step);
            read(far, step);
        }
        assert!(read(0, 6) >= FIRST);
        assert!(read(far, 6) >= FIRST);
        assert_eq!(ahead.streams.len(), 2);
    }

    #[test]
    fn reading_the_same_again_looks_no_further() {
        let mut ahead = Ahead::default();
        for _ in 0..10 {
            assert_eq!(ahead.after(&(0..4096), Some(2), MOST), 0);
        }
    }
}
