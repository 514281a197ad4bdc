// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! In place of src/instance.rs: one volume with one file on it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::config::Config;
use crate::decision::Want;
use crate::host::inode::{Gfid, Inode};
use crate::host::ticket::Ticket;
use crate::host::xlator::Xlator;
use crate::recall::engine::{self, Engine};
use crate::sync::Arc;
use crate::work::busy::Busy;
use crate::work::task::Home;

/// The file.
pub const FILE: Gfid = Gfid(1);

/// See the module.
#[derive(Debug)]
pub struct Instance {
    /// What is at work.
    pub busy: Arc<Busy>,
    /// The jobs.
    pub engine: Engine,
    /// The host's side of it.
    pub this: Xlator,
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

impl Default for Instance {
    fn default() -> Self {
        let busy = Arc::new(Busy::default());
        Self {
            engine: Engine::new(&busy),
            busy,
            this: Xlator,
            local: AtomicBool::new(false),
            store_fails: false,
            recalls: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
            at_work: AtomicUsize::new(0),
        }
    }
}

impl Home for Instance {
    fn this(&self) -> Xlator {
        self.this
    }

    fn busy(&self) -> &Arc<Busy> {
        &self.busy
    }
}

impl Instance {
    /// The settings.
    #[must_use]
    pub fn config(&self) -> Config {
        Config::default()
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> Option<Store> {
        Some(Store)
    }

    /// An operation goes on: it finds the file local, or archived again.
    pub fn proceed(self: &Arc<Self>, mut ticket: Ticket) {
        if ticket.again == 0 {
            ticket.answer();
            return;
        }
        ticket.again -= 1;
        self.local.store(false, Ordering::SeqCst);
        self.park(ticket);
    }

    /// An operation comes upon the cold file.
    pub fn park(self: &Arc<Self>, mut ticket: Ticket) {
        ticket.arrive(self);
        engine::park(self, ticket, Want::Bytes, Some(Inode(FILE)), None);
    }
}
