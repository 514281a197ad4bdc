// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What happened in a week, and what it cost.

use std::collections::{BTreeMap, BTreeSet};

use crate::RESIDENCY;
use crate::variant::Variant;

/// A file of the simulation stands for so many of the department.
pub(crate) const SCALE: u32 = 10_000;

/// Prices in dollars, like Amazon's for Glacier Instant Retrieval, which a volume in the house pays.
mod price {
    pub(super) const PER_PUT: f64 = 0.02 / 1000.0;
    pub(super) const PER_GET: f64 = 0.01 / 1000.0;
    /// Retrieval, and transfer out of the store's region.
    pub(super) const PER_GB_READ: f64 = 0.03 + 0.09;
    pub(super) const PER_GB_AND_MONTH: f64 = 0.004;
}

const GB: f64 = 1e9;

/// A day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Day {
    pub(crate) archived: u64,
    pub(crate) uploaded: u64,
    pub(crate) uploaded_bytes: u64,
    /// At its end.
    pub(crate) stored_bytes: u64,
    pub(crate) recalled: u64,
    pub(crate) recalled_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) remote_reads: u64,
    /// Files that the scanner could not read.
    pub(crate) refused: usize,
    pub(crate) put: u64,
    pub(crate) get: u64,
    pub(crate) head: u64,
    pub(crate) other: u64,
    /// Cold files that people used.
    pub(crate) waited_for: usize,
    /// Files that came back without anybody having used them.
    pub(crate) not_asked_for: usize,
    /// Archived within the residency after they had come back.
    pub(crate) soon_again: usize,
    /// Some of them.
    pub(crate) which: String,
    /// Differences in what people read.
    pub(crate) wrong: usize,
}

/// A week.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) variant: Variant,
    pub(crate) days: Vec<Day>,
    pub(crate) wrong_at_the_end: usize,
    /// What a program found wrong.
    pub(crate) failures: Vec<String>,
    /// When files came back last.
    back: BTreeMap<String, usize>,
}

impl Ledger {
    pub(crate) const fn new(variant: Variant) -> Self {
        Self {
            variant,
            days: Vec::new(),
            wrong_at_the_end: 0,
            failures: Vec::new(),
            back: BTreeMap::new(),
        }
    }

    /// Adds a day. `recalled`: what came back in it; `archived`: what was archived at its end.
    pub(crate) fn add<'n>(
        &mut self,
        number: usize,
        mut day: Day,
        recalled: &BTreeSet<String>,
        archived: impl Iterator<Item = &'n String>,
    ) {
        for name in recalled {
            self.back.insert(name.clone(), number);
        }
        let soon = |name: &&String| {
            let back = self.back.get(*name);
            back.is_some_and(|back| number < back + RESIDENCY)
        };
        let soon: Vec<_> = archived.filter(soon).cloned().collect();
        day.soon_again = soon.len();
        day.which = soon[..soon.len().min(3)].join(" ");
        self.days.push(day);
    }

    pub(crate) fn fail(&mut self, failure: Option<String>) {
        self.failures.extend(failure);
    }

    /// The sum over all days.
    pub(crate) fn sum(&self, of: impl Fn(&Day) -> u64) -> u64 {
        self.days.iter().map(of).sum()
    }

    pub(crate) fn count(&self, of: impl Fn(&Day) -> usize) -> usize {
        self.days.iter().map(of).sum()
    }

    /// What the department paid, in dollars: for requests, for bytes that were read, for bytes that were stored.
    pub(crate) fn bill(&self) -> [f64; 3] {
        let mut bill = [0.0; 3];
        for day in &self.days {
            let writes = real(day.put + day.other);
            let reads = real(day.get + day.head);
            bill[0] += writes * price::PER_PUT + reads * price::PER_GET;
            bill[1] += real(day.received_bytes) / GB * price::PER_GB_READ;
            bill[2] += real(day.stored_bytes) / GB * price::PER_GB_AND_MONTH / 30.0;
        }
        bill.map(|dollars| dollars * f64::from(SCALE))
    }

    pub(crate) fn total(&self) -> f64 {
        self.bill().iter().sum()
    }
}

#[allow(clippy::cast_precision_loss, reason = "an amount for people")]
pub(crate) fn real(number: u64) -> f64 {
    number as f64
}
