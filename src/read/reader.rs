// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a read of a cold file may do, by who reads ([`cloudsync_logic::callers`]) and which file it is (its pin).

#![forbid(unsafe_code)]

use std::time::Instant;

use cloudsync_format::pin::Pin;

use crate::bricks::file::File;
use crate::history::{self, About};
use crate::host::inode::Inode;
use crate::host::ticket::Ticket;
use crate::sys;
use crate::volume::Volume;
use cloudsync_logic::callers::{Caller, May};
use cloudsync_logic::errno::Failure;
use cloudsync_logic::host::Ticket as _;
use cloudsync_metrics::labels::Limit;

/// Whether [`may`] could say no. Never blocks.
pub(super) fn must_be_judged(volume: &Volume, ticket: &Ticket) -> bool {
    let config = volume.config();
    config.pins || config.callers.exist() || is_copier(ticket)
}

/// Whether the caller is a geo-replication worker. It reads the whole volume, so its reads must not cause recalls.
pub(super) fn is_copier(ticket: &Ticket) -> bool {
    ticket.arguments().pid() == sys::_gf_special_pid::GF_CLIENT_PID_GSYNCD
}

/// What a read may do. Blocks: looks up the reader's process and the file's pin.
pub(super) fn may(volume: &Volume, ticket: &Ticket, file: &File<'_>, inode: &Inode) -> May {
    let config = volume.config();
    let mut may = May::Recall;
    if config.callers.exist() {
        let by = history::who(&ticket.who());
        let caller = Caller {
            uid: by.uid,
            gid: ticket.arguments().gid(),
            command: by.command,
            files: volume.counts.reads(by.pid, inode.gfid(), Instant::now()),
        };
        may = config.callers.of(&caller);
        if may != May::Recall {
            volume.metrics.limited(Limit::Callers);
        }
    }
    if may == May::Recall && config.pins {
        match volume.pins.of(file, inode) {
            Ok(Some(Pin::NeverRecall)) => may = May::ReadRemotely,
            Ok(_) => {}
            Err(failure) => log::debug!("{}: pins not read: {failure}", inode.path()),
        }
    }
    may
}

/// Lists a read that was refused to its caller.
pub(super) fn list_refusal(volume: &Volume, inode: &Inode, ticket: &Ticket, failure: &Failure) {
    let file = || {
        let about = About {
            inode,
            gfid: inode.gfid(),
            bytes: 0,
            since: Instant::now(),
            store: volume.store_name(),
            why: "read",
            by: Some(history::who(&ticket.who())),
        };
        about.file()
    };
    volume.history.failed(failure, None, file);
}
