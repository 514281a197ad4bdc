// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the engine needs of a volume, and what a job does on it.

#![forbid(unsafe_code)]

use std::fmt::Debug;

use crate::errno::Failure;
use crate::host::Host;
use crate::recall::job::Job;
use crate::sizes::PART;
use crate::sync::Arc;
use crate::work::task::Home;

/// A volume whose files are recalled.
pub trait Recalls: Home + Debug {
    /// Its host.
    type Host: Host;

    /// How many recalls of small files may run at once.
    fn recalls(&self) -> usize;

    /// Whether it has a store that can serve readers.
    fn can_serve(&self) -> bool;

    /// Counts a job that failed.
    fn count_failure(&self);

    /// Checks without the file's lock whether the job is done already. Blocks, but needs no store.
    ///
    /// # Errors
    /// Why it can never be done.
    fn check(&self, job: &Job<Self::Host>) -> Result<Checked, Failure>;

    /// Does what the job's waiters wait for. Blocks.
    ///
    /// # Errors
    /// Why not; the file is then as cold as it was, or what another client made of it.
    fn run(self: &Arc<Self>, job: &Job<Self::Host>) -> Result<(), Failure>;
}

/// The result of a check without the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Nothing is left to do.
    Done,
    /// There is, and it needs no store.
    NoStore,
    /// A file of at most a part is to be brought back.
    Small,
    /// A larger one is.
    Large,
}

impl Checked {
    /// `size` bytes are to be brought back or compared.
    #[must_use]
    pub const fn of(size: u64) -> Self {
        if size <= PART {
            Self::Small
        } else {
            Self::Large
        }
    }
}
