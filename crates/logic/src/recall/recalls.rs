// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The volume as the engine sees it.

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

    /// The maximum number of concurrent recalls of small files.
    fn recalls(&self) -> usize;

    /// Whether its store can serve reads of cold files.
    fn can_serve(&self) -> bool;

    /// Counts a job that failed, and lists it in the history. Its waiters are not answered yet.
    fn failed(&self, job: &Job<Self::Host>, failure: &Failure);

    /// Checks, without the file's lock, whether anything is left to do. Blocks, but needs no store.
    ///
    /// # Errors
    /// The job cannot succeed.
    fn check(&self, job: &Job<Self::Host>) -> Result<Checked, Failure>;

    /// Runs the job. Blocks.
    ///
    /// # Errors
    /// The job failed. The file is as cold as before, or in the state in which another client left it.
    fn run(self: &Arc<Self>, job: &Job<Self::Host>) -> Result<(), Failure>;
}

/// The result of a check without the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Nothing is left to do.
    Done,
    /// The rest of the work needs no store.
    NoStore,
    /// At most [`PART`] bytes are to be recalled or compared.
    Small,
    /// More bytes are.
    Large,
}

impl Checked {
    /// `size` bytes are to be recalled or compared.
    #[must_use]
    pub const fn of(size: u64) -> Self {
        if size <= PART {
            Self::Small
        } else {
            Self::Large
        }
    }
}
