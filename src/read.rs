// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Answers reads of a cold file, and seeks in it, from its object.
//!
//! A reader waits for the range it reads, not for the file. The range is served from the bricks if this client's recall
//! has written it, otherwise from memory ([`cloudsync_logic::objects::object`]), fetching it if needed
//! ([`cloudsync_logic::objects::get`]) within the limits of [`cloudsync_logic::objects::limits`].
//!
//! The object must still be the file's. While a recall of this client holds the file's lock, no other client can change
//! that; otherwise the state is queried from the bricks before each read. Where reads leave files cold, it is enough that the
//! stub's label is unchanged ([`cloudsync_logic::labels`]).
//!
//! A plugin without `fetch` may have `fop_remote_read`, as the stock translator's have. With `cloudsync-remote-read` on,
//! it answers the reads ([`crate::plugin::store::remote`]).
//!
//! Who reads, and what, may not recall ([`reader`]); others' recalls serve everybody.
//!
//! If a recall is allowed, that of a small file (up to [`SMALL`]) starts at once, and its readers are answered when it
//! is in memory. That of a larger file starts after the first read has been answered.

#![forbid(unsafe_code)]

mod reader;

use std::sync::Arc;

use cloudsync_format::xattr::State;

use crate::host::guard;
use crate::host::inode::{self, Inode};
use crate::host::ticket::Ticket;
use crate::objects::Object;
use crate::plugin::store::LoadedStore;
use crate::plugin::store::remote::Cold;
use crate::recall::adopt;
use crate::recall::engine::Engine;
use crate::sizes::SMALL;
use crate::work::task::{on_a_thread, on_thread_of};
use crate::work::workers;
use cloudsync_logic::callers::May;
use cloudsync_logic::decision::{self, Known, Source, Want};
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::host::Ticket as _;
use cloudsync_logic::labels::{Label, Looks};
use cloudsync_logic::objects::identity::Identity;
use cloudsync_logic::protocol::brick_file::BrickFile;
use cloudsync_logic::protocol::heal::is_by_recall;
use cloudsync_metrics::labels::Limit;

/// Serves a read of a file last seen cold. Never blocks.
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
        && let Some(store) = engine.volume.store_of_any()
        && !reader::must_be_judged(&engine.volume, &ticket)
        && source(engine, &store, &inode, May::Recall, size, size) == Source::Bricks
    {
        return engine.park_small(ticket, inode);
    }
    if job.is_none()
        && !ticket.must_ask()
        && let Some((object, looks)) = seen_as(engine, &inode)
        && looks.suffice()
        && engine.volume.trusts_stubs()
    {
        return ticket.wind_to_stub(object, looks);
    }
    on_a_thread(engine, ticket, move |engine, ticket| {
        let way = guard::catch(Err(Failure::Bug), || ask(engine, &ticket, &inode));
        match way {
            Ok(Way::Recall) => engine.park(ticket, Want::Bytes, Some(inode), None),
            Ok(Way::Inspect) => {
                let want = if ticket.attempt() <= 1 {
                    Want::SettleNow
                } else {
                    Want::Settle
                };
                engine.park(ticket, want, Some(inode), None);
            }
            Ok(Way::Object { object, recall }) => {
                engine.volume.metrics.remote_read();
                if recall {
                    object.source.charge();
                }
                let by = ticket.who();
                object.read(ticket, true);
                if recall {
                    engine.start(inode, by, false);
                }
            }
            Ok(Way::Plugin { store, file }) => read_remotely(engine, ticket, store, file),
            Err(failure) => {
                log::log!(
                    failure.level(),
                    id = failure.message();
                    "{}: read failed, the file stays cold: {failure}",
                    inode.path()
                );
                ticket.fail(failure.errno());
            }
        }
    });
}

/// Answers a seek in a file last seen cold, from the file's size: an object has no holes. The file stays cold. Never blocks.
pub fn seek(engine: &Arc<Engine>, ticket: Ticket, inode: Option<Inode>) {
    let Some(inode) = inode else {
        return ticket.fail(Errno::EINVAL);
    };
    on_a_thread(engine, ticket, move |engine, ticket| {
        match guard::catch(Err(Failure::Bug), || cold_size(engine, &inode)) {
            Ok(Some(size)) => {
                let arguments = ticket.arguments();
                match decision::seek(arguments.seeks_data(), arguments.offset(), size) {
                    Ok(offset) => ticket.answer_offset(offset),
                    Err(errno) => ticket.fail(errno),
                }
            }
            // It is local, or being recalled, or has bytes that must be settled first.
            Ok(None) => engine.park(ticket, Want::Bytes, Some(inode), None),
            Err(failure) => {
                log::log!(
                    failure.level(),
                    id = failure.message();
                    "{}: seek failed: {failure}",
                    inode.path()
                );
                ticket.fail(failure.errno());
            }
        }
    });
}

/// The size of a cold file that has no bytes on the bricks; `None` for any other. Blocks.
fn cold_size(engine: &Engine, inode: &Inode) -> Result<Option<u64>, Failure> {
    let file = engine.volume.file(inode, inode.gfid(), inode)?;
    let status = file.status()?;
    let cold = status.state == State::Remote && status.on_bricks == 0;
    Ok(cold.then(|| status.attributes.size()))
}

/// Whether a read may start a recall that fetches `size` bytes. If not, the read is served from the store.
fn may_recall(engine: &Engine, gfid: Gfid, size: u64) -> bool {
    let config = engine.volume.config();
    if config.remote_read || engine.is_full() {
        return false;
    }
    if engine.job(gfid).is_some() {
        return true;
    }
    let (allowance, metrics) = (&engine.volume.allowance, &engine.volume.metrics);
    // The budget first: the guard charges what it allows.
    if !allowance.budget.has(size) {
        metrics.limited(Limit::Budget);
        return false;
    }
    let may = allowance.allows(size);
    if !may {
        metrics.limited(Limit::Guard);
    }
    may
}

/// Where a read of a cold file of `size` bytes gets them, of which a recall fetches `data`. Never blocks.
fn source(
    engine: &Engine,
    store: &LoadedStore,
    inode: &Inode,
    may: May,
    size: u64,
    data: u64,
) -> Source {
    let can_fetch = store.can_fetch();
    // `may_recall` charges the allowance, so it is not called if there is no choice.
    let may_recall = can_fetch && may == May::Recall && may_recall(engine, inode.gfid(), data);
    let config = engine.volume.config();
    let can_read = config.remote_read && !can_fetch && store.can_read();
    decision::source(
        size <= SMALL,
        can_fetch,
        can_read,
        may_recall,
        config.checked,
    )
}

/// How a read gets its bytes.
enum Way {
    /// From the bricks, once the file is local.
    Recall,
    /// Undecided: the file has bytes on the bricks that no recall explains, or is being archived.
    Inspect,
    /// From the object. `recall`: whether to start a recall too.
    Object { object: Arc<Object>, recall: bool },
    /// From the plugin, which reads itself.
    Plugin {
        store: Arc<LoadedStore>,
        file: Box<Cold>,
    },
}

/// Lets the plugin answer a read. Never blocks.
fn read_remotely(engine: &Arc<Engine>, ticket: Ticket, store: Arc<LoadedStore>, file: Box<Cold>) {
    /// The threads for plugins that answer before they return.
    const THREADS: usize = 48;
    let budget = &engine.volume.allowance.budget;
    let bytes = file.bytes_of(&ticket);
    if !budget.has(bytes) && !budget.serves() {
        return ticket.fail(Errno::EDQUOT);
    }
    budget.spend(bytes);
    engine.volume.metrics.remote_read();
    on_thread_of(
        &workers::READS,
        THREADS,
        engine,
        ticket,
        move |engine, ticket| {
            let volume = &engine.volume;
            let running = volume.busy.begin();
            guard::catch((), || volume.readings.read(ticket, file, store, running));
        },
    );
}

/// The object of which the file was last seen to be the stub, and what is remembered of the stub's label.
fn seen_as(engine: &Engine, inode: &Inode) -> Option<(Arc<Object>, Looks)> {
    let object = engine.volume.objects.get(inode.gfid())?;
    let looks = object.looks();
    Some((object, looks))
}

fn ask(engine: &Arc<Engine>, ticket: &Ticket, inode: &Inode) -> Result<Way, Failure> {
    let file = engine.volume.file(inode, inode.gfid(), inode)?;
    let seen = seen_as(engine, inode);
    let status = file.status()?;
    if !matches!(status.state, State::Remote | State::Repair) {
        // The job handles the other states. If it is a handshake's, the file is cold at its end, and is to stay so.
        let stays = status.state == State::Downloading && engine.volume.config().remote_read;
        return Ok(if stays { Way::Inspect } else { Way::Recall });
    }
    // Do not wait for another client's recall, which explains the bytes; anything else must be settled first.
    if status.state == State::Repair
        && status.on_bricks > 0
        && (ticket.attempt() <= 1
            || !is_by_recall(engine.volume.keeps_own_times(), &status, inode.gfid()))
    {
        return Ok(Way::Inspect);
    }
    let size = status.attributes.size();
    inode.learn(engine.volume.this, Known::Cold { size });
    let judgement = reader::judge(&engine.volume, ticket, &file, inode);
    let may = judgement
        .as_ref()
        .map_or(May::Recall, |judgement| judgement.may);
    let list = |judgement: Option<reader::Judgement>| {
        if let Some(judgement) = judgement {
            reader::list(&engine.volume, inode, &status, judgement);
        }
    };
    if may == May::NotRead {
        list(judgement);
        return Err(Failure::NotAllowed);
    }
    let store = engine.volume.store_of(&status)?;
    let data = Identity::of(&status).map_or(size, |object| object.data(size));
    let recall = match source(engine, &store, inode, may, size, data) {
        Source::Bricks if reader::is_copier(ticket) && store.can_fetch() => false,
        Source::Bricks => return Ok(Way::Recall),
        Source::Plugin => {
            list(judgement);
            let file = Box::new(Cold::of(inode, &status)?);
            return Ok(Way::Plugin { store, file });
        }
        Source::Object { recall } => recall && !reader::is_copier(ticket),
    };
    let object = engine
        .volume
        .objects
        .open(engine.volume.this, &store, inode.gfid(), &status)?;
    if let Some(etag) = object.source.adopted() {
        adopt::remember(&file, &status, &etag);
    }
    if !recall {
        list(judgement);
    }
    if status.state == State::Remote && status.on_bricks == 0 {
        let seen = seen.filter(|(seen, _)| Arc::ptr_eq(seen, &object));
        let looks = seen.map_or_else(Looks::default, |(_, looks)| looks);
        object.remember(looks.and(Label::of_stub(&status.attributes, inode::era())));
    }
    Ok(Way::Object { object, recall })
}
