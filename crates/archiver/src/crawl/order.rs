// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Sorts files by a rank in bounded memory. Runs of [`RUN`] bytes are sorted in memory and written to unnamed
//! temporary files, which are merged while they are read. A million files take about 100 MB in the temporary directory,
//! and no more memory than a thousand.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// The attributes kept for a file until its turn.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    /// The lowest comes first.
    pub(crate) rank: i128,
    /// Its path from the root of the volume.
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    /// Whether its age does not matter.
    pub(crate) soon: bool,
}

/// Size of a run in memory, in bytes.
const RUN: usize = 8 << 20;
/// Estimated bytes per candidate besides its path.
const OVERHEAD: usize = 96;
/// Number of runs merged at once; each needs a buffer and a descriptor.
const MOST_RUNS: usize = 256;

/// Collects candidates in any order.
#[derive(Debug, Default)]
pub(crate) struct Sorter {
    run: Vec<Candidate>,
    bytes: usize,
    files: Vec<File>,
}

impl Sorter {
    pub(crate) fn add(&mut self, candidate: Candidate) -> io::Result<()> {
        self.add_to_runs_of(RUN, candidate)
    }

    fn add_to_runs_of(&mut self, most: usize, candidate: Candidate) -> io::Result<()> {
        self.bytes += OVERHEAD + candidate.path.as_os_str().len();
        self.run.push(candidate);
        if self.bytes < most {
            return Ok(());
        }
        self.run.sort_unstable();
        let run = std::mem::take(&mut self.run);
        self.bytes = 0;
        self.files.push(write(run.into_iter().map(Ok))?);
        if self.files.len() >= MOST_RUNS {
            let all = std::mem::take(&mut self.files);
            self.files.push(write(Sorted::new(Vec::new(), all)?)?);
        }
        Ok(())
    }

    /// Returns the candidates, that of the lowest rank first.
    pub(crate) fn finish(mut self) -> io::Result<Sorted> {
        self.run.sort_unstable();
        Sorted::new(self.run, self.files)
    }
}

/// Writes a run to a temporary file, rewound for [`read`].
fn write(candidates: impl Iterator<Item = io::Result<Candidate>>) -> io::Result<File> {
    let mut out = BufWriter::new(tempfile::tempfile()?);
    for candidate in candidates {
        let Candidate {
            rank,
            path,
            size,
            soon,
        } = candidate?;
        let path = path.as_os_str().as_bytes();
        out.write_all(&rank.to_le_bytes())?;
        out.write_all(&size.to_le_bytes())?;
        out.write_all(&[soon.into()])?;
        let length = u32::try_from(path.len()).map_err(io::Error::other)?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(path)?;
    }
    let mut file = out
        .into_inner()
        .map_err(|error| io::Error::other(error.to_string()))?;
    file.rewind()?;
    Ok(file)
}

/// Reads the next candidate; `None` at the end of the file.
fn read(from: &mut impl Read) -> io::Result<Option<Candidate>> {
    let mut rank = [0; 16];
    match from.read_exact(&mut rank) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let (mut size, mut soon, mut length) = ([0; 8], [0; 1], [0; 4]);
    from.read_exact(&mut size)?;
    from.read_exact(&mut soon)?;
    from.read_exact(&mut length)?;
    let mut path = vec![0; usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?];
    from.read_exact(&mut path)?;
    Ok(Some(Candidate {
        rank: i128::from_le_bytes(rank),
        path: PathBuf::from(OsString::from_vec(path)),
        size: u64::from_le_bytes(size),
        soon: soon != [0],
    }))
}

/// Iterates over candidates, that of the lowest rank first.
#[derive(Debug)]
pub(crate) struct Sorted {
    heap: BinaryHeap<Reverse<(Candidate, usize)>>,
    files: Vec<BufReader<File>>,
    memory: std::vec::IntoIter<Candidate>,
}

impl Sorted {
    fn new(memory: Vec<Candidate>, files: Vec<File>) -> io::Result<Self> {
        let mut sorted = Self {
            heap: BinaryHeap::new(),
            files: files.into_iter().map(BufReader::new).collect(),
            memory: memory.into_iter(),
        };
        for run in 0..=sorted.files.len() {
            sorted.refill(run)?;
        }
        Ok(sorted)
    }

    /// Moves the next candidate of a run to the heap. Index `files.len()` is the run in memory.
    fn refill(&mut self, run: usize) -> io::Result<()> {
        let next = match self.files.get_mut(run) {
            Some(file) => read(file)?,
            None => self.memory.next(),
        };
        if let Some(candidate) = next {
            self.heap.push(Reverse((candidate, run)));
        }
        Ok(())
    }
}

impl Iterator for Sorted {
    type Item = io::Result<Candidate>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((candidate, run)) = self.heap.pop()?;
        Some(self.refill(run).map(|()| candidate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_rank_comes_first_however_many_runs_there_are() {
        let mut sorter = Sorter::default();
        let mut random = fastrand::Rng::with_seed(7);
        let mut all: Vec<Candidate> = (0..5_000_u64)
            .map(|n| Candidate {
                rank: random.i64(-10_000..10_000).into(),
                path: PathBuf::from(OsString::from_vec(vec![0xff, b'\n', (n % 251) as u8 | 1])),
                size: n,
                soon: n % 2 == 0,
            })
            .collect();
        for candidate in &all {
            // Small runs: more than are merged at once.
            sorter.add_to_runs_of(1_000, candidate.clone()).unwrap();
        }
        assert!(!sorter.files.is_empty() && sorter.files.len() < MOST_RUNS);
        let sorted: Vec<_> = sorter.finish().unwrap().map(Result::unwrap).collect();
        all.sort();
        assert_eq!(sorted, all);
    }

    #[test]
    fn few_need_no_file() {
        let mut sorter = Sorter::default();
        for rank in [3, 1, 2] {
            let path = PathBuf::from("x");
            let candidate = Candidate {
                rank,
                path,
                size: 0,
                soon: false,
            };
            sorter.add(candidate).unwrap();
        }
        assert!(sorter.files.is_empty());
        let sorted = sorter.finish().unwrap().map(|found| found.unwrap().rank);
        assert_eq!(sorted.collect::<Vec<_>>(), [1, 2, 3]);
    }
}
