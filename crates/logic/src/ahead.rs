// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Computes the read-ahead: nothing for random reads, and increasing amounts for sequential ones.

#![forbid(unsafe_code)]

use std::ops::Range;

/// Number of sequential streams tracked for each file.
const STREAMS: usize = 4;
/// The first read-ahead of a stream that has become sequential, in bytes.
const FIRST: u64 = 256 << 10;
/// The maximum read-ahead, in bytes.
const FARTHEST: u64 = 8 << 20;
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
    /// Records a read of `range`. Returns how many bytes after it are likely to be read next.
    pub fn after(&mut self, range: &Range<u64>) -> u64 {
        let near = |stream: &Stream| {
            range.start <= stream.at.saturating_add(DISORDER)
                && stream.at <= range.end.saturating_add(DISORDER)
        };
        let mut stream = match self.streams.iter().position(near) {
            Some(place) => {
                let mut stream = self.streams.remove(place);
                if range.end > stream.at {
                    stream.ahead = (stream.ahead * 2).clamp(FIRST, FARTHEST);
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

    #[test]
    fn the_view_grows_while_a_reader_goes_on() {
        let mut ahead = Ahead::default();
        let seen: Vec<u64> = (0..8)
            .map(|step| ahead.after(&(step * STEP..(step + 1) * STEP)))
            .collect();
        let k = 1 << 10;
        assert_eq!(
            seen,
            [
                0,
                256 * k,
                512 * k,
                1024 * k,
                2048 * k,
                4096 * k,
                FARTHEST,
                FARTHEST
            ]
        );
    }

    #[test]
    fn who_jumps_gets_what_was_asked_for() {
        let mut ahead = Ahead::default();
        for place in [7, 3, 90, 20, 61, 44, 12, 80_u64] {
            let at = place << 30;
            assert_eq!(ahead.after(&(at..at + 4096)), 0);
        }
    }

    #[test]
    fn requests_out_of_order_are_one_reader_and_two_readers_are_two() {
        let mut ahead = Ahead::default();
        let far = 1 << 40;
        for step in [1, 0, 3, 2, 5, 4] {
            ahead.after(&(step * STEP..(step + 1) * STEP));
            ahead.after(&(far + step * STEP..far + (step + 1) * STEP));
        }
        assert!(ahead.after(&(6 * STEP..7 * STEP)) >= FIRST);
        assert!(ahead.after(&(far + 6 * STEP..far + 7 * STEP)) >= FIRST);
        assert_eq!(ahead.streams.len(), 2);
    }

    #[test]
    fn reading_the_same_again_looks_no_further() {
        let mut ahead = Ahead::default();
        for _ in 0..10 {
            assert_eq!(ahead.after(&(0..4096)), 0);
        }
    }
}
