// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One volume's translator: dispatches each operation and handles the child's answer.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use crate::archive;
use crate::ask;
use crate::bricks::Check;
use crate::control;
use crate::fops::{self, Verdict};
use crate::host::dict::DictRef;
use crate::host::inode::Inode;
use crate::host::reply::Reply;
use crate::host::ticket::{Settling, Ticket};
use crate::host::xlator::Xlator;
use crate::read;
use crate::recall::engine::Engine;
use crate::volume::Volume;
use cloudsync_format::message;
use cloudsync_logic::decision::{self, Action, MAX_ATTEMPTS, Want};
use cloudsync_logic::errno::Errno;
use cloudsync_logic::gfid::Gfid;

/// The translator of one volume.
#[derive(Debug)]
pub struct Instance {
    /// The volume's state.
    pub volume: Arc<Volume>,
    /// The recall jobs.
    pub engine: Arc<Engine>,
}

impl Instance {
    /// Creates an instance. Invalid options are logged and do not prevent it from starting, because local files must
    /// work.
    #[must_use]
    pub fn new(this: Xlator, options: Option<DictRef<'_>>) -> Arc<Self> {
        let volume = Volume::new(this, options);
        let engine = Engine::new(&volume);
        Arc::new(Self { volume, engine })
    }

    /// Dispatches an operation according to the decision table. Never blocks.
    pub fn proceed(self: &Arc<Self>, mut ticket: Ticket) {
        let check = self.volume.bricks.check();
        let class = fops::class_on(
            ticket.fop(),
            ticket.class(),
            check,
            check == Check::Unknown && ticket.is_surely_local(),
        );
        let trusts = fops::has_label(ticket.fop(), class)
            && self.volume.trusts_labels()
            && ticket.look_up_label();
        let known = ticket.known();
        match decision::on_arrival(class, known, ticket.attempt(), trusts) {
            Action::Wind => ticket.wind(&[]),
            Action::WindTrusting => ticket.wind_trusting(),
            Action::WindAsking => {
                let questions = fops::questions(ticket.fop(), class, known);
                ticket.wind(questions);
            }
            Action::Recall => {
                let inode = ticket.inode();
                let want = fops::want(&ticket.arguments(), known, check);
                self.park(ticket, want, inode, None);
            }
            Action::Archive => archive::start(&self.volume, ticket),
            Action::Control => control::start(&self.engine, ticket),
            Action::Pretend => {
                log::debug!("{ticket:?}: marks set by ordinary clients are ignored");
                ticket.answer();
            }
            Action::Refuse(errno) => {
                log::debug!("{ticket:?}: {errno}");
                ticket.fail(errno);
            }
        }
    }

    /// Parks an operation until `want` holds for its file. `gfid`: the file's identity, if an answer of the bricks
    /// contained it. The only place that counts attempts. Never blocks.
    pub fn park(
        self: &Arc<Self>,
        mut ticket: Ticket,
        want: Want,
        inode: Option<Inode>,
        gfid: Option<Gfid>,
    ) {
        if ticket.attempt() >= MAX_ATTEMPTS {
            log::warn!(
                id = message::ARCHIVED_AGAIN;
                "{ticket:?}: the file is archived again after each recall, giving up"
            );
            return ticket.fail(Errno::EBUSY);
        }
        ticket.count_attempt();
        if gfid.is_none() && ticket.is_nameless() {
            let instance = Arc::clone(self);
            ask::find_file(&self.volume, ticket, move |ticket, inode, gfid| {
                let want = match want {
                    Want::Read | Want::Extents if inode.gfid().is_none() => Want::Bytes,
                    want => want,
                };
                instance.park_on(ticket, want, Some(inode), Some(gfid));
            });
        } else {
            self.park_on(ticket, want, inode, gfid);
        }
    }

    /// As [`Self::park`] if the file is cold; otherwise the operation fails with `EIO`. Never blocks.
    fn park_if_cold(self: &Arc<Self>, ticket: Ticket, want: Want) {
        let instance = Arc::clone(self);
        ask::if_cold(&self.volume, ticket, move |ticket, inode| {
            instance.park(ticket, want, Some(inode), None);
        });
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
            Want::Extents => read::seek(&self.engine, ticket, inode),
            Want::Bytes
            | Want::Check
            | Want::First(_)
            | Want::Tidy
            | Want::Inspect
            | Want::SettleNow
            | Want::Settle => {
                self.engine.park(ticket, want, inode, gfid);
            }
        }
    }

    /// Cancels all jobs: the graph is being replaced or taken down.
    pub fn stop(&self) {
        self.engine.cancel_all();
        self.volume.readings.cancel_all();
    }

    /// Waits for work in progress and unloads the store. Returns whether all work ended within `at_most`.
    #[must_use]
    pub fn shut_down(&self, at_most: Duration) -> bool {
        self.engine.end();
        self.volume.shut_down(at_most)
    }
}

/// What happens to an operation that the child has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The answer is unwound now.
    Answer,
    /// The answer is unwound once its attributes have been checked again.
    Recheck,
    /// The operation is parked or failed, and the child's answer is discarded.
    Taken,
}

/// Handles the child's answer to an operation. `find` returns the instance, which most answers do not need. Never
/// blocks.
#[must_use]
pub fn settle(
    find: &dyn Fn() -> Option<Arc<Instance>>,
    settling: Settling,
    reply: &mut Reply<'_>,
) -> Settled {
    let is_busy = |gfid| find().is_some_and(|instance| instance.engine.job(gfid).is_some());
    let want = match fops::settle(settling.ticket(), reply, &is_busy) {
        Verdict::Park(want) => want,
        Verdict::ParkIfCold(want) => {
            let ticket = settling.into_ticket();
            match find() {
                Some(instance) => instance.park_if_cold(ticket, want),
                None => ticket.fail(Errno::EIO),
            }
            return Settled::Taken;
        }
        Verdict::Ask => {
            settling.into_asking().again();
            return Settled::Taken;
        }
        Verdict::Stub => {
            if let Some(instance) = find() {
                instance.volume.metrics.remote_read();
            }
            settling.read_stored();
            return Settled::Taken;
        }
        Verdict::AskIfStub => {
            settling.into_asking().read_again();
            return Settled::Taken;
        }
        Verdict::Unchecked => {
            if let Some(instance) = find() {
                instance.volume.bricks.skipped_check();
            }
            // On later attempts we have checked the state ourselves.
            if settling.ticket().attempt() > 0 {
                settling.let_go();
                return Settled::Answer;
            }
            Want::Bytes
        }
        Verdict::Answer => {
            settling.let_go();
            return Settled::Answer;
        }
        Verdict::Checked => {
            if let Some(instance) = find() {
                instance.volume.bricks.checked();
            }
            settling.let_go();
            return Settled::Answer;
        }
        Verdict::Recheck => {
            settling.let_go();
            return Settled::Recheck;
        }
    };
    // After a file's first lookup, only the answer has the gfid: the inode is not linked yet.
    let gfid = match want {
        Want::Tidy | Want::Inspect | Want::SettleNow | Want::Settle => {
            reply.after().map(|attributes| attributes.gfid())
        }
        Want::Bytes | Want::Check | Want::Read | Want::Extents | Want::First(_) => None,
    };
    let ticket = settling.into_ticket();
    let inode = ticket.checked_inode();
    match find() {
        Some(instance) => instance.park(ticket, want, inode, gfid),
        None => ticket.fail(Errno::EIO),
    }
    Settled::Taken
}
