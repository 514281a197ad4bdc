// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What to measure, and how much of it: the command line.

use std::path::PathBuf;

use crate::Answer;

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

const USAGE: &str = "\
usage: cargo bench --bench limits -- [--quick] [--rows 1,2] [--runs N] [--sizes 1M,64M,1G] [--stretch 1,5] [--disk] [--save]
       cargo bench --bench limits -- --guard [--save] [--profile DIR]
  --quick   small sizes and one run: shows that the program works, its figures mean nothing
  --rows    only these rows of docs/BENCHMARKS.md, 1 to 9
  --runs    how often each row is measured
  --sizes   file sizes of row 2; 10G needs 12 GiB of memory for the store
  --stretch how many times slower time passes on the way to row 8's far store
  --disk    the brick is in the temporary directory instead of in memory
  --save    writes docs/figures/benchmarks.*, which the documents show; needs all rows at full size
  --guard   only compares instructions and operations on the brick with docs/figures/guard.md; with --save, writes that
  --profile where callgrind's files of each path go, for callgrind_annotate";

/// What to measure.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) quick: bool,
    pub(crate) rows: Vec<u8>,
    pub(crate) runs: usize,
    pub(crate) disk: bool,
    /// The run replaces the figures in docs/figures.
    pub(crate) save: bool,
    /// Only instructions and operations on the brick, compared with those written down.
    pub(crate) guard: bool,
    /// Where the profiles of these go.
    pub(crate) profile: Option<PathBuf>,
    /// Row 1: sizes of the recalled files.
    pub(crate) recalled: Vec<u64>,
    /// Row 2: sizes of the files whose ends are read.
    pub(crate) sizes: Vec<u64>,
    /// Row 3: number of files of 16 KiB.
    pub(crate) small_files: usize,
    /// Row 3: number of files of 16 KiB that are archived.
    pub(crate) archived_files: usize,
    /// Row 4: size of the file that is read remotely.
    pub(crate) long: u64,
    /// Row 4: number of random reads, for each read size.
    pub(crate) random_reads: usize,
    /// Row 5: bytes that each of the jobs reads or writes.
    pub(crate) local: u64,
    /// Row 5: files of the metadata loop.
    pub(crate) local_files: usize,
    /// Row 5: operations whose instructions are counted.
    pub(crate) counted: usize,
    /// Row 7: size of the file that is also recalled through the stock translator.
    pub(crate) beside_stock: u64,
    /// Row 8: how many times slower time passes on the way to the far store.
    pub(crate) stretches: Vec<u32>,
    /// Row 8: size of the file that is recalled.
    pub(crate) far: u64,
    /// Row 8: number of files of 16 KiB.
    pub(crate) far_files: usize,
    /// Row 9: size of the file whose object is encoded; full MiB.
    pub(crate) encoded: u64,
    /// Row 6: number of concurrent files and their sizes.
    pub(crate) concurrent_files: Vec<(usize, u64)>,
}

impl Settings {
    fn full() -> Self {
        Self {
            quick: false,
            rows: (1..=9).collect(),
            runs: 3,
            disk: false,
            save: false,
            guard: false,
            profile: None,
            recalled: vec![GIB, 64 * MIB],
            sizes: vec![MIB, 64 * MIB, GIB],
            small_files: 5000,
            archived_files: 2000,
            long: GIB,
            random_reads: 200,
            local: 64 * MIB,
            local_files: 1000,
            counted: 1000,
            beside_stock: 256 * MIB,
            stretches: vec![1, 5],
            far: GIB,
            far_files: 800,
            encoded: 512 * MIB,
            concurrent_files: vec![(1, GIB), (100, 16 * MIB), (1000, 2 * MIB)],
        }
    }

    fn short() -> Self {
        Self {
            quick: true,
            runs: 1,
            recalled: vec![20 * MIB],
            sizes: vec![MIB, 9 * MIB],
            small_files: 100,
            archived_files: 100,
            long: 20 * MIB,
            random_reads: 10,
            local: 4 * MIB,
            local_files: 50,
            counted: 20,
            beside_stock: 4 * MIB,
            stretches: vec![1],
            far: 40 * MIB,
            far_files: 40,
            encoded: 20 * MIB,
            concurrent_files: vec![(1, 9 * MIB), (20, MIB)],
            ..Self::full()
        }
    }

    /// Parses the program's arguments.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Answer<Self> {
        let words: Vec<String> = words.collect();
        let mut settings = if words.iter().any(|word| word == "--quick") {
            Self::short()
        } else {
            Self::full()
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value\n{USAGE}"));
            match word.as_str() {
                // cargo passes it to every bench.
                "--quick" | "--bench" => {}
                "--disk" => settings.disk = true,
                "--save" => settings.save = true,
                "--guard" => settings.guard = true,
                "--profile" => settings.profile = Some(value()?.into()),
                "--runs" => settings.runs = value()?.parse()?,
                "--rows" => settings.rows = list(value()?, |row| Ok(row.parse()?))?,
                "--stretch" => settings.stretches = list(value()?, |times| Ok(times.parse()?))?,
                "--sizes" => settings.sizes = list(value()?, bytes)?,
                _ => return Err(USAGE.into()),
            }
        }
        let complete = !settings.quick && settings.rows.len() == Self::full().rows.len();
        if settings.runs == 0 || (settings.save && !complete && !settings.guard) {
            return Err(USAGE.into());
        }
        Ok(settings)
    }

    /// The number of cold files of that size of which an end is read in each run. A percentile needs enough of them
    /// that one is beyond it, and the store's memory does not suffice for thousands of large ones.
    pub(crate) fn samples(&self, size: u64) -> usize {
        match size {
            _ if self.quick => 3,
            0..=MIB => 350,
            size if size <= 64 * MIB => 34,
            _ => 4,
        }
    }

    /// Required capacity of the store in bytes.
    pub(crate) fn store_bytes(&self) -> u64 {
        let concurrent_files = self.concurrent_files.iter().map(|crowd| crowd.1);
        let sizes = self.sizes.iter().chain(&self.recalled).copied();
        sizes
            .chain(concurrent_files)
            .chain([self.long, self.far])
            .chain([self.encoded; 2])
            .sum::<u64>()
            + GIB
    }
}

fn list<T>(text: &str, parse: impl Fn(&str) -> Answer<T>) -> Answer<Vec<T>> {
    text.split(',').map(parse).collect()
}

/// Parses `64M`.
fn bytes(text: &str) -> Answer<u64> {
    let units = [('K', KIB), ('M', MIB), ('G', GIB)];
    let unit = units.iter().find(|(letter, _)| text.ends_with(*letter));
    let digits = text.trim_end_matches(char::is_alphabetic);
    Ok(digits.parse::<u64>()? * unit.map_or(1, |(_, unit)| *unit))
}

/// Formats `64 MiB`.
pub(crate) fn named(bytes: u64) -> String {
    let unit = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
    let unit = unit.iter().find(|(unit, _)| bytes >= *unit);
    match unit {
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} B"),
    }
}
