// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! In place of src/volume.rs: one volume with one file on it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use crate::host::xlator::Xlator;
use cloudsync_logic::config::Config;
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::sync::Arc;
use cloudsync_logic::work::busy::Busy;

/// The file.
pub const FILE: Gfid = Gfid([1; 16]);

/// See the module.
#[derive(Debug, Default)]
pub struct Volume {
    /// What is at work.
    pub busy: Arc<Busy>,
    /// The host's side of it.
    pub this: Xlator,
    /// What happened.
    pub counters: Counters,
    /// Whether the file is local.
    pub local: AtomicBool,
    /// Whether its store fails.
    pub store_fails: bool,
    /// How often it was recalled.
    pub recalls: AtomicUsize,
    /// Writes that were begun.
    pub writes: AtomicUsize,
    /// How many jobs are at work on it.
    pub at_work: AtomicUsize,
}

/// What happened.
#[derive(Debug, Default)]
pub struct Counters {
    /// Recalls that failed.
    pub failed: AtomicU64,
}

/// The store.
#[derive(Clone, Copy, Debug)]
pub struct Store;

impl Store {
    /// Whether it serves readers.
    #[must_use]
    pub const fn can_fetch(&self) -> bool {
        true
    }
}

impl Volume {
    /// The settings.
    #[must_use]
    pub fn config(&self) -> Config {
        Config {
            recalls: 4,
            ..Config::default()
        }
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> Option<Store> {
        Some(Store)
    }
}
