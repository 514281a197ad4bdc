// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What other clients and applications do at some instant: whole jobs, or jobs whose client dies.

use std::cell::RefCell;

use cloudsync_format::xattr::State;
use cloudsync_logic::decision::Want;

use crate::client::{Client, Fault};
use crate::jobs;
use crate::world::{Straggler, World};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Nothing,
    /// An application writes, if the file is local.
    Write,
    /// A brick admits a write, if the file is local, and carries it out later.
    WriteLater,
    /// The same, a truncation.
    TruncateLater,
    /// Another client recalls the file, if it can have the lock.
    Recall,
    /// It does, and an application writes.
    RecallAndWrite,
    /// It does, and the file is archived again.
    RecallAndArchive,
    /// It begins to, and dies at that operation.
    RecallAndDie(usize),
    /// The file is archived.
    Archive,
    /// Its archiver's client dies at that operation.
    ArchiveAndDie(usize),
}

impl Act {
    /// With clients from number `id` on.
    pub(crate) fn run(self, world: &RefCell<World>, id: usize) {
        let recall = |fault| {
            let client = Client::new(world, id, fault);
            let _ = jobs::job(&client, Want::Bytes, false);
        };
        let archive = |fault| {
            let client = Client::new(world, id, fault);
            let _ = jobs::archive(&client);
        };
        let die = Fault::Die { after: false };
        let is_local = || world.borrow().status().state == State::Local;
        match self {
            Self::Nothing => {}
            Self::Write => {
                world.borrow_mut().application_writes();
            }
            Self::WriteLater if is_local() => world.borrow_mut().stragglers.push(Straggler::Write),
            Self::TruncateLater if is_local() => {
                world.borrow_mut().stragglers.push(Straggler::Truncate);
            }
            Self::WriteLater | Self::TruncateLater => {}
            Self::Recall => recall(None),
            Self::RecallAndWrite => {
                recall(None);
                world.borrow_mut().application_writes();
            }
            Self::RecallAndArchive => {
                recall(None);
                archive(None);
            }
            Self::RecallAndDie(at) => recall(Some((at, die))),
            Self::Archive => archive(None),
            Self::ArchiveAndDie(at) => archive(Some((at, die))),
        }
    }
}
