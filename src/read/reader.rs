// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a read of a cold file may do, by who reads ([`cloudsync_logic::callers`]) and which file it is (its pin).

#![forbid(unsafe_code)]

use std::time::Instant;

use cloudsync_format::history::By;
use cloudsync_format::pin::Pin;

use crate::bricks::file::File;
use crate::history::{self, About};
use crate::host::child::Status;
use crate::host::inode::Inode;
use crate::host::ticket::Ticket;
use crate::sys;
use crate::volume::Volume;
use cloudsync_logic::callers::{Caller, May};
use cloudsync_logic::errno::Failure;
use cloudsync_logic::host::Ticket as _;
use cloudsync_metrics::labels::Limit;

/// Whether [`judge`] could say no. Never blocks.
pub(super) fn must_be_judged(volume: &Volume, ticket: &Ticket) -> bool {
    let config = volume.config();
    config.pins || config.callers.exist() || is_copier(ticket)
}

/// Whether the caller is a geo-replication worker. It reads the whole volume, so its reads must not cause recalls.
pub(super) fn is_copier(ticket: &Ticket) -> bool {
    ticket.arguments().pid() == sys::_gf_special_pid::GF_CLIENT_PID_GSYNCD
}

/// What a read may do.
pub(super) struct Judgement {
    pub(super) may: May,
    /// The setting that says so, if it does not recall: see [`cloudsync_format::history::File::cause`].
    cause: &'static str,
    by: By,
    /// Whether the process has not read this file lately.
    is_new: bool,
}

/// Judges a read; `None` if it may recall. Blocks: looks up the reader's process and the file's pin, where these matter.
pub(super) fn judge(
    volume: &Volume,
    ticket: &Ticket,
    file: &File<'_>,
    inode: &Inode,
) -> Option<Judgement> {
    let config = volume.config();
    let reads = || {
        let by = history::who(&ticket.who());
        let (files, is_new) = volume.counts.reads(by.pid, inode.gfid(), Instant::now());
        (by, files, is_new)
    };
    let mut reader = None;
    if config.callers.exist() {
        let (by, files, is_new) = reads();
        let caller = Caller {
            uid: by.uid,
            gid: ticket.arguments().gid(),
            command: by.command.clone(),
            client: history::client().to_owned(),
            files,
        };
        let may = config.callers.of(&caller);
        if may != May::Recall {
            volume.metrics.limited(Limit::Callers);
            return Some(Judgement {
                may,
                cause: "callers",
                by,
                is_new,
            });
        }
        reader = Some((by, files, is_new));
    }
    if !config.pins || !is_pinned(volume, file, inode) {
        return None;
    }
    let (by, _, is_new) = reader.unwrap_or_else(reads);
    Some(Judgement {
        may: May::ReadRemotely,
        cause: "pin",
        by,
        is_new,
    })
}

/// Whether the file's pin says that reads leave it cold.
fn is_pinned(volume: &Volume, file: &File<'_>, inode: &Inode) -> bool {
    match volume.pins.of(file, inode) {
        Ok(pin) => pin == Some(Pin::NeverRecall),
        Err(failure) => {
            log::debug!("{}: pins not read: {failure}", inode.path());
            false
        }
    }
}

/// Lists a read that was judged and is not to recall: as refused, or as served from the store.
pub(super) fn list(volume: &Volume, inode: &Inode, status: &Status, judgement: Judgement) {
    let about = |bytes| About {
        inode,
        gfid: inode.gfid(),
        bytes,
        since: Instant::now(),
        store: volume.store_name(status.store()),
        why: "read",
        by: Some(judgement.by),
    };
    match judgement.may {
        May::ReadRemotely if judgement.is_new => {
            let file = || about(status.attributes.size()).file();
            volume.history.served(judgement.cause, file);
        }
        May::Recall | May::ReadRemotely => {}
        May::NotRead => {
            let file = || about(0).file();
            volume.history.failed(&Failure::NotAllowed, None, file);
        }
    }
}
