// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Acts of other clients and applications at one instant: complete jobs, or jobs whose client dies.

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
    /// A brick admits a truncation, if the file is local, and carries it out later.
    TruncateLater,
    /// Another client recalls the file, if it gets the lock.
    Recall,
    /// Another client recalls the file, and an application writes.
    RecallAndWrite,
    /// Another client recalls the file, and the file is archived again.
    RecallAndArchive,
    /// Another client starts a recall and dies at that operation.
    RecallAndDie(usize),
    /// The file is archived.
    Archive,
    /// The archiver's client dies at that operation.
    ArchiveAndDie(usize),
}

impl Act {
    /// Runs the act, with clients numbered from `id`.
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
