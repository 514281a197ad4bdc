// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One volume's translator: the way of an operation through it.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use crate::archive;
use crate::ask;
use crate::bricks::Check;
use crate::control;
use crate::decision::{self, Action, MAX_ATTEMPTS, Want};
use crate::errno::Errno;
use crate::fops;
use crate::host::dict::DictRef;
use crate::host::inode::{Gfid, Inode};
use crate::host::ticket::Ticket;
use crate::host::xlator::Xlator;
use crate::read;
use crate::recall::engine::Engine;
use crate::volume::Volume;

/// See the module.
#[derive(Debug)]
pub struct Instance {
    /// What it has.
    pub volume: Arc<Volume>,
    /// Its jobs.
    pub engine: Arc<Engine>,
}

impl Instance {
    /// An instance with these options. Whatever is wrong with them, it comes up: local files must work. What is
    /// wrong is in the log.
    #[must_use]
    pub fn new(this: Xlator, options: Option<DictRef<'_>>) -> Arc<Self> {
        let volume = Volume::new(this, options);
        let engine = Engine::new(&volume);
        Arc::new(Self { volume, engine })
    }

    /// Does with an operation what the table says. Never blocks.
    pub fn proceed(self: &Arc<Self>, ticket: Ticket) {
        let check = self.volume.bricks.check();
        let class = fops::class_on(
            ticket.fop(),
            ticket.class(),
            check,
            check == Check::Unknown && ticket.is_surely_local(),
        );
        match decision::on_arrival(class, ticket.known(), ticket.attempt()) {
            Action::Wind => ticket.wind(&[]),
            Action::WindAsking => {
                let questions = fops::questions(ticket.fop(), class);
                ticket.wind(questions);
            }
            Action::Recall => {
                let inode = ticket.inode();
                let want = fops::want(&ticket.arguments(), ticket.known(), check);
                self.park(ticket, want, inode, None);
            }
            Action::Archive => archive::start(&self.volume, ticket),
            Action::Control => control::start(&self.engine, ticket),
            Action::Pretend => {
                log::debug!("{ticket:?}: marks are not set by ordinary clients");
                ticket.answer();
            }
            Action::Refuse(errno) => {
                log::debug!("{ticket:?}: {errno}");
                ticket.fail(errno);
            }
        }
    }

    /// Parks an operation until `want` holds for its file, whose identity is `gfid` if an answer has told it. Counts the
    /// attempt, which nobody else does. Never blocks.
    pub fn park(
        self: &Arc<Self>,
        mut ticket: Ticket,
        want: Want,
        inode: Option<Inode>,
        gfid: Option<Gfid>,
    ) {
        if ticket.attempt() >= MAX_ATTEMPTS {
            log::warn!("{ticket:?}: the file is archived again and again, giving up");
            return ticket.fail(Errno::EBUSY);
        }
        ticket.count_attempt();
        if gfid.is_none() && ticket.is_nameless() {
            let instance = Arc::clone(self);
            ask::find_file(&self.volume, ticket, move |ticket, inode, gfid| {
                let want = match want {
                    Want::Read if inode.gfid().is_none() => Want::Bytes,
                    want => want,
                };
                instance.park_on(ticket, want, Some(inode), Some(gfid));
            });
        } else {
            self.park_on(ticket, want, inode, gfid);
        }
    }

    fn park_on(
        self: &Arc<Self>,
        ticket: Ticket,
        want: Want,
        inode: Option<Inode>,
        gfid: Option<Gfid>,
    ) {
        match want {
            Want::Read => read::serve(&self.engine, ticket, inode),
            Want::Bytes
            | Want::Look
            | Want::First(_)
            | Want::Tidy
            | Want::LookInto
            | Want::SettleNow
            | Want::Settle => {
                self.engine.park(ticket, want, inode, gfid);
            }
        }
    }

    /// The graph is being replaced or taken down: nobody waits for our jobs any more.
    pub fn stop(&self) {
        self.engine.cancel_all();
    }

    /// Waits for what is at work and gives the store back. Returns whether all of it ended in time.
    #[must_use]
    pub fn shut_down(&self, at_most: Duration) -> bool {
        self.engine.end();
        self.volume.shut_down(at_most)
    }
}
