// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Operations that arrive for one cold file.

use std::sync::atomic::Ordering;

use cloudsync_logic::decision::Want;
use cloudsync_logic::recall::engine::Engine;
use cloudsync_logic::sync::Arc;

use crate::model::host::Inode;
use crate::model::ticket::Ticket;
use crate::model::volume::{FILE, Volume};

/// See the module.
#[derive(Debug)]
pub(crate) struct Instance {
    /// The file.
    pub(crate) volume: Arc<Volume>,
    /// Its jobs.
    pub(crate) engine: Arc<Engine<Volume>>,
}

impl Default for Instance {
    fn default() -> Self {
        Self::new(Volume::default())
    }
}

impl Instance {
    /// An instance with this volume.
    #[must_use]
    pub(crate) fn new(volume: Volume) -> Self {
        let volume = Arc::new(volume);
        Self {
            engine: Engine::new(&volume),
            volume,
        }
    }

    /// An operation proceeds: it finds the file local, or archived again.
    pub(crate) fn proceed(self: &Arc<Self>, mut ticket: Ticket) {
        if ticket.again == 0 {
            ticket.answer();
            return;
        }
        ticket.again -= 1;
        self.volume.local.store(false, Ordering::SeqCst);
        self.park(ticket);
    }

    /// An operation arrives for the cold file.
    pub(crate) fn park(self: &Arc<Self>, mut ticket: Ticket) {
        ticket.arrive(self);
        self.engine
            .park(ticket, Want::Bytes, Some(Inode(FILE)), None);
    }
}
