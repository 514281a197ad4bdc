// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The files of the run, and what each must contain. One lock for each: readers share it, and who changes the file has it
//! alone. A change is repeated until it has succeeded, so the content is known whenever the lock is free.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use crate::content::{Content, Difference, Pattern};
use crate::random::Random;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// No file becomes larger.
pub(crate) const LARGEST: u64 = 20 * MIB;

/// How many directories the files are in.
pub(crate) const FOLDERS: usize = 5;

/// A file.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// Its path below the volume's root.
    pub(crate) name: String,
    pub(crate) content: Content,
    /// How often it got a new name.
    names: u32,
    /// What was done to it last, for a fault's text.
    steps: VecDeque<String>,
}

/// How many steps of a file are remembered.
const STEPS: usize = 12;

/// All files.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) seed: u64,
    all: Vec<RwLock<File>>,
    /// The newest version of each, also of a change that has not succeeded yet.
    newest: Vec<AtomicU32>,
}

impl Files {
    pub(crate) fn new(seed: u64, count: usize) -> Self {
        let file = |number| {
            RwLock::new(File {
                name: name(number, number, 0),
                ..File::default()
            })
        };
        Self {
            seed,
            all: (0..count).map(file).collect(),
            newest: (0..count).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// To read it; `None` if it is being changed.
    pub(crate) fn try_read(&self, number: usize) -> Option<RwLockReadGuard<'_, File>> {
        match self.all[number].try_read() {
            Ok(file) => Some(file),
            Err(TryLockError::Poisoned(file)) => Some(file.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// To change it; `None` if somebody reads or changes it.
    pub(crate) fn try_write(&self, number: usize) -> Option<RwLockWriteGuard<'_, File>> {
        match self.all[number].try_write() {
            Ok(file) => Some(file),
            Err(TryLockError::Poisoned(file)) => Some(file.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// To read it when nobody changes files any more.
    pub(crate) fn read(&self, number: usize) -> RwLockReadGuard<'_, File> {
        self.all[number]
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a new version of a file.
    pub(crate) fn new_version(&self, number: usize) -> (u32, Pattern) {
        let version = self.newest[number].fetch_add(1, Ordering::Relaxed) + 1;
        (version, Pattern::new(self.seed, number, version))
    }

    /// Compares what a read returned.
    ///
    /// # Errors
    /// Where it differs, and from what.
    pub(crate) fn compare(
        &self,
        number: usize,
        file: &File,
        range: (u64, u64),
        got: &[u8],
    ) -> Result<(), Difference> {
        let newest = self.newest.iter();
        let newest: Vec<_> = newest
            .map(|version| version.load(Ordering::Relaxed))
            .collect();
        let compared = file.content.compare(self.seed, number, range, got, &newest);
        compared.map_err(|difference| Difference {
            why: format!("file {number} ({}): {}", file.name, difference.why),
            ..difference
        })
    }

    /// The sum of all sizes.
    pub(crate) fn bytes(&self) -> u64 {
        (0..self.count())
            .map(|number| self.read(number).content.size())
            .sum()
    }
}

impl File {
    /// Remembers what was done to it.
    pub(crate) fn did(&mut self, what: String) {
        if self.steps.len() == STEPS {
            self.steps.pop_front();
        }
        self.steps.push_back(what);
    }

    /// What was done to it last, a line each.
    pub(crate) fn steps(&self) -> String {
        let lines = self.steps.iter().map(|step| format!("\n  {step}"));
        lines.collect()
    }

    /// A name that no file has had, maybe in another directory.
    pub(crate) fn another_name(&mut self, number: usize, random: &mut Random) -> String {
        self.names += 1;
        let folder = random.below(FOLDERS as u64) as usize;
        name(number, folder, self.names)
    }
}

fn name(number: usize, folder: usize, names: u32) -> String {
    format!("folder-{}/file-{number}.{names}", folder % FOLDERS)
}

/// A size for the file with that number: half of the files are small, one in ten has several parts.
pub(crate) fn size(number: usize, random: &mut Random) -> u64 {
    match number % 10 {
        0..5 => random.between(1, 64 * KIB),
        5..7 => random.between(64 * KIB, 512 * KIB),
        7..9 => random.between(512 * KIB, 3 * MIB),
        _ => random.between(8 * MIB, 14 * MIB),
    }
}
