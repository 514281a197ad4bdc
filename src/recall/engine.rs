// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The engine of a volume's jobs ([`cloudsync_logic::recall::engine`]), and the volume as the engine sees it.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::objects::Gluster;
use crate::recall::job::Job;
use crate::recall::steps;
use crate::volume::Volume;
use cloudsync_logic::errno::Failure;
use cloudsync_logic::recall::engine;
use cloudsync_logic::recall::recalls::{Checked, Recalls};

/// The jobs of one volume.
pub type Engine = engine::Engine<Volume>;

impl Recalls for Volume {
    type Host = Gluster;

    fn recalls(&self) -> usize {
        self.config().recalls
    }

    fn can_serve(&self) -> bool {
        self.store().is_some_and(|store| store.can_fetch())
    }

    fn count_failure(&self) {
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn check(&self, job: &Job) -> Result<Checked, Failure> {
        steps::check(self, job)
    }

    fn run(self: &Arc<Self>, job: &Job) -> Result<(), Failure> {
        steps::run(self, job)
    }
}
