// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reads of a cold file, answered from its object.
//!
//! A reader does not wait for the file, only for what it reads. What it asks for is taken from the bricks, if a recall of
//! this client has brought it there; else from memory ([`cloudsync_logic::objects::object`]), where it is or comes to by a
//! request of its own ([`cloudsync_logic::objects::get`]), bounded by [`cloudsync_logic::objects::limits`].
//!
//! When is the file still that object? While a recall of this client holds the file's lock, nobody can make it anything
//! else. Otherwise the bricks are asked before each read.
//!
//! A small file ([`SMALL`]) is recalled at once, if it may be, and its readers are answered when it is in memory. Of
//! a larger one the reader gets what it reads first, and the recall begins when it has it.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloudsync_format::xattr::State;

use crate::host::guard;
use crate::host::inode::Inode;
use crate::host::ticket::Ticket;
use crate::objects::Object;
use crate::plugin::store::LoadedStore;
use crate::recall::adopt;
use crate::recall::engine::Engine;
use crate::sizes::SMALL;
use crate::sys;
use crate::work::task::on_a_thread;
use cloudsync_logic::decision::{self, Known, Source, Want};
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::protocol::brick_file::BrickFile;
use cloudsync_logic::protocol::heal::is_by_recall;

/// Serves a read of a file that was cold when somebody last looked. Never blocks.
pub fn serve(engine: &Arc<Engine>, ticket: Ticket, inode: Option<Inode>) {
    let Some(inode) = inode else {
        return ticket.fail(Errno::EINVAL);
    };
    let job = engine.job(inode.gfid());
    if let Some(serving) = job.as_ref().and_then(|job| job.serving()) {
        return serving.read(ticket);
    }
    if let Known::Cold { size } = inode.known(engine.volume.this)
        && job.is_none()
        && size <= SMALL
        && let Some(store) = engine.volume.store()
        && !is_copier(&ticket)
        && source(engine, &store, &inode, size) == Source::Bricks
    {
        return engine.park_small(ticket, inode);
    }
    on_a_thread(engine, ticket, move |engine, ticket| {
        let way = guard::catch(Err(Failure::Bug), || ask(engine, &ticket, &inode));
        match way {
            Ok(Way::Recall) => engine.park(ticket, Want::Bytes, Some(inode), None),
            Ok(Way::LookInto) => {
                let want = if ticket.attempt() <= 1 {
                    Want::SettleNow
                } else {
                    Want::Settle
                };
                engine.park(ticket, want, Some(inode), None);
            }
            Ok(Way::Object { object, recall }) => {
                engine.volume.objects.reads.fetch_add(1, Ordering::Relaxed);
                object.read(ticket, true);
                if recall {
                    engine.start(inode, false);
                }
            }
            Err(failure) => {
                log::warn!("{}: not read, it stays cold: {failure}", inode.path());
                ticket.fail(failure.errno());
            }
        }
    });
}

/// Whether it is a worker of geo-replication, which copies the volume to another: what it reads must not come back.
fn is_copier(ticket: &Ticket) -> bool {
    ticket.arguments().pid() == sys::_gf_special_pid::GF_CLIENT_PID_GSYNCD
}

/// Whether a read may bring a file of `size` bytes back; if not, it is served from the store.
fn may_recall(engine: &Engine, gfid: Gfid, size: u64) -> bool {
    let config = engine.volume.config();
    if config.remote_read || engine.is_full() {
        return false;
    }
    engine.job(gfid).is_some() || engine.volume.allows(size)
}

/// Where a read of a cold file of `size` bytes gets them. Never blocks.
fn source(engine: &Engine, store: &LoadedStore, inode: &Inode, size: u64) -> Source {
    let can_fetch = store.can_fetch();
    // Asking counts: not for a store that leaves no choice.
    let may_recall = can_fetch && may_recall(engine, inode.gfid(), size);
    let checked = engine.volume.config().checked;
    decision::source(size <= SMALL, can_fetch, may_recall, checked)
}

/// How a read gets its bytes.
enum Way {
    /// From the bricks, when the file is local.
    Recall,
    /// Not decided: the file has bytes that nothing explains.
    LookInto,
    /// From the object; whether it is recalled too.
    Object { object: Arc<Object>, recall: bool },
}

fn ask(engine: &Arc<Engine>, ticket: &Ticket, inode: &Inode) -> Result<Way, Failure> {
    let file = engine.volume.file(inode, inode.gfid(), inode)?;
    let status = file.status()?;
    if !matches!(status.state, State::Remote | State::Repair) {
        // The job looks at the rest.
        return Ok(Way::Recall);
    }
    // Whoever is at work on it is not waited for, if it is a recall: only that explains bytes.
    if status.state == State::Repair
        && status.on_bricks > 0
        && (ticket.attempt() <= 1
            || !is_by_recall(engine.volume.keeps_own_times(), &status, inode.gfid()))
    {
        return Ok(Way::LookInto);
    }
    let size = status.attributes.size();
    inode.learn(engine.volume.this, Known::Cold { size });
    let store = engine.volume.store().ok_or(Failure::NoStore)?;
    let recall = match source(engine, &store, inode, size) {
        Source::Bricks if is_copier(ticket) && store.can_fetch() => false,
        Source::Bricks => return Ok(Way::Recall),
        Source::Object { recall } => recall && !is_copier(ticket),
    };
    let object = engine
        .volume
        .objects
        .open(engine.volume.this, &store, inode.gfid(), &status)?;
    if let Some(etag) = object.source.adopted() {
        adopt::remember(&file, &status, &etag);
    }
    Ok(Way::Object { object, recall })
}
