// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Finds the holes of a file, which are not read: their zeros are generated.
//!
//! That the file does not change meanwhile is checked as for its bytes: by the times, in the handshake.

use std::fs::{File, Metadata};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

use cloudsync_format::holes::BLOCK;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// How the holes of a volume's files are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By asking the bricks (`SEEK_HOLE`).
    Ask,
    /// By reading: holes are what is zeros. With erasure coding, the bricks' answer is that of one fragment. It is right on
    /// file systems that keep what was written, but one that stores no zeros (ZFS, with compression) may have a hole where
    /// this fragment happens to be zeros and the file is not.
    Read,
}

/// More holes of one file are not looked for: each costs two round trips.
const MOST: usize = 4096;

/// The holes of a file that has fewer blocks than its size needs, in bytes and in order. None if the bricks do not know.
pub(super) fn holes(file: &File, data: &Metadata) -> Vec<Range<u64>> {
    let mut holes = Vec::new();
    // Some file systems have told of holes where bytes were not yet on the disk: ZFS did.
    if !is_sparse(data) || file.sync_all().is_err() {
        return holes;
    }
    let mut at = 0;
    while at < data.size() && holes.len() < MOST {
        let Ok(start) = seek(file, SeekFrom::Hole(at)) else {
            return Vec::new();
        };
        let end = match seek(file, SeekFrom::Data(start)) {
            Ok(end) => end.min(data.size()),
            Err(Errno::NXIO) => data.size(),
            Err(_) => return Vec::new(),
        };
        // A small one is cheaper to read than to leave out.
        if end.saturating_sub(start) >= BLOCK {
            holes.push(start..end);
        }
        if end <= at {
            // An answer that makes no sense.
            return Vec::new();
        }
        at = end;
    }
    holes
}

/// Whether the file has fewer blocks than its bytes need.
pub(super) fn is_sparse(data: &Metadata) -> bool {
    data.blocks().saturating_mul(512) < data.size()
}

/// Adds the blocks of zeros in `bytes`, which begin at `offset`, a multiple of [`BLOCK`], to the holes before them.
pub(super) fn add_zeros(holes: &mut Vec<Range<u64>>, bytes: &[u8], offset: u64) {
    let mut start = offset;
    for block in bytes.chunks(usize::try_from(BLOCK).unwrap_or(usize::MAX)) {
        let end = start + block.len() as u64;
        if block.iter().all(|byte| *byte == 0) {
            let more = holes.len() < MOST;
            match holes.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ if more => holes.push(start..end),
                _ => {}
            }
        }
        start = end;
    }
}

/// The parts of `range`, in order, each with whether it is in a hole.
pub(super) fn split(holes: &[Range<u64>], range: Range<u64>) -> Vec<(Range<u64>, bool)> {
    let mut parts = Vec::new();
    let mut at = range.start;
    let first = holes.partition_point(|hole| hole.end <= range.start);
    for hole in &holes[first..] {
        let (start, end) = (hole.start.max(at), hole.end.min(range.end));
        if start >= range.end {
            break;
        }
        if at < start {
            parts.push((at..start, false));
        }
        parts.push((start..end, true));
        at = end;
    }
    if at < range.end {
        parts.push((at..range.end, false));
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_range_is_split_at_the_holes() {
        let holes = [10..20, 30..40];
        let of = |range| split(&holes, range);
        assert_eq!(
            of(0..50),
            [
                (0..10, false),
                (10..20, true),
                (20..30, false),
                (30..40, true),
                (40..50, false)
            ]
        );
        assert_eq!(of(12..15), [(12..15, true)]);
        assert_eq!(
            of(15..35),
            [(15..20, true), (20..30, false), (30..35, true)]
        );
        assert_eq!(of(20..30), [(20..30, false)]);
        assert_eq!(of(45..45), []);
        assert_eq!(split(&[], 3..4), [(3..4, false)]);
    }

    #[test]
    fn what_is_called_a_hole_has_only_zeros() {
        let file = tempfile::tempfile().unwrap();
        let size = 40 * BLOCK + 5;
        file.set_len(size).unwrap();
        for at in [0, 7 * BLOCK, 20 * BLOCK + 9] {
            file.write_all_at(b"data", at).unwrap();
        }
        let data = file.metadata().unwrap();
        let asked = holes(&file, &data);
        let mut bytes = vec![1; usize::try_from(size).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let mut read = Vec::new();
        add_zeros(&mut read, &bytes[..65536 * 8], 0);
        add_zeros(&mut read, &bytes[65536 * 8..], 8 * BLOCK);
        assert_eq!(
            read,
            [BLOCK..7 * BLOCK, 8 * BLOCK..20 * BLOCK, 21 * BLOCK..size]
        );
        // A file system need not have holes.
        for hole in asked {
            assert!(read.iter().any(|zeros| {
                zeros.start <= hole.start.next_multiple_of(BLOCK)
                    && hole.end / BLOCK * BLOCK <= zeros.end
            }));
        }
    }
}
