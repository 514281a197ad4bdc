// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reads of a cold file, answered from its object.
//!
//! A reader does not wait for the file, only for what it reads. What it asks for is taken from the bricks, if a recall of
//! this client has brought it there; else from memory ([`object`]), where it is or comes to by a request of its own
//! ([`get`]), bounded by [`limits`].
//!
//! When is the file still that object? While a recall of this client holds the file's lock, nobody can make it anything
//! else. Otherwise the bricks are asked before each read.
//!
//! A file of at most a piece ([`object::PIECE`]) is brought back before it is read, if it may be: that takes as long.

#![forbid(unsafe_code)]

pub mod ahead;
pub mod allowance;
pub mod coverage;
pub mod get;
pub mod limits;
pub mod object;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloudsync_format::xattr::State;

use crate::control;
use crate::decision::{self, Known, MAX_ATTEMPTS, Source};
use crate::errno::{Errno, Failure};
use crate::host::child::Status;
use crate::host::guard;
use crate::host::inode::{Gfid, Inode};
use crate::host::ticket::Ticket;
use crate::instance::Instance;
use crate::plugin::store::LoadedStore;
use crate::recall::busy::Busy;
use crate::recall::engine::{self, Want};
use crate::remote::object::{Identity, Object, PIECE};

/// The objects that are in use.
#[derive(Debug, Default)]
pub struct Objects {
    open: Mutex<HashMap<Gfid, Arc<Object>>>,
    /// Reads that were answered from memory or by a request.
    pub reads: AtomicU64,
    busy: Arc<Busy>,
}

/// How many may be open before those that nobody uses are closed.
const OPEN: usize = 64;

impl Objects {
    fn lock(&self) -> MutexGuard<'_, HashMap<Gfid, Arc<Object>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object of a file, by what the bricks said of it just now.
    ///
    /// # Errors
    /// [`Failure::Damaged`].
    pub fn open(
        &self,
        instance: &Instance,
        store: &Arc<LoadedStore>,
        gfid: Gfid,
        status: &Status,
    ) -> Result<Arc<Object>, Failure> {
        let identity = Identity::of(status)?;
        let mut open = self.lock();
        if let Some(object) = open.get(&gfid)
            && object.is(&identity, store)
        {
            return Ok(Arc::clone(object));
        }
        let mut closed = Vec::new();
        if open.len() >= OPEN {
            closed.extend(open.extract_if(|_, object| Arc::strong_count(object) == 1));
        }
        let attributes = &status.attributes;
        let object = Object::new(
            instance.this,
            Arc::clone(store),
            identity,
            attributes,
            &self.busy,
        );
        closed.extend(
            open.insert(gfid, Arc::clone(&object))
                .map(|old| (gfid, old)),
        );
        // Outside the lock: the last one may end the store's plugin.
        drop(open);
        drop(closed);
        Ok(object)
    }

    /// The file is local, or will be read in another way.
    pub fn close(&self, gfid: Gfid) {
        let closed = self.lock().remove(&gfid);
        drop(closed);
    }

    /// The instance ends. Returns whether its requests did, in time.
    #[must_use]
    pub fn end(&self, at_most: Duration) -> bool {
        let closed = std::mem::take(&mut *self.lock());
        for object in closed.values() {
            object.end();
        }
        drop(closed);
        self.busy.wait_until_idle(at_most)
    }

    /// Everybody who waits for bytes of this file gets ECANCELED.
    pub fn cancel(&self, gfid: Gfid) {
        let object = self.lock().get(&gfid).map(Arc::clone);
        if let Some(object) = object {
            object.refuse(Errno::ECANCELED);
        }
    }

    /// How many reads wait for bytes; `None` when that cannot be told without waiting.
    #[must_use]
    pub fn waiting(&self) -> Option<usize> {
        let open = self.open.try_lock().ok()?;
        Some(open.values().map(|object| object.waiting()).sum())
    }
}

/// Serves a read of a file that was cold when somebody last looked. Never blocks.
pub fn serve(instance: &Arc<Instance>, mut ticket: Ticket, inode: Option<Inode>) {
    ticket.count_attempt();
    let Some(inode) = inode else {
        return ticket.fail(Errno::EINVAL);
    };
    if ticket.attempt() > MAX_ATTEMPTS {
        return ticket.fail(Errno::EBUSY);
    }
    let job = instance.engine.job(inode.gfid());
    if let Some(serving) = job.as_ref().and_then(|job| job.serving()) {
        return serving.read(ticket);
    }
    control::on_a_thread(instance, ticket, move |instance, ticket| {
        let way = guard::catch(Err(Failure::Bug), || ask(instance, &inode));
        match way {
            Ok(Way::Recall) => engine::park(instance, ticket, Want::Bytes, Some(inode), None),
            Ok(Way::Object { object, recall }) => {
                if recall {
                    engine::start(instance, inode, false);
                }
                instance.objects.reads.fetch_add(1, Ordering::Relaxed);
                object.read(ticket, true);
            }
            Err(failure) => {
                log::warn!("{}: not read, it stays cold: {failure}", inode.path());
                ticket.fail(failure.errno());
            }
        }
    });
}

/// How a read gets its bytes.
enum Way {
    /// From the bricks, when the file is local.
    Recall,
    /// From the object; whether it is recalled too.
    Object { object: Arc<Object>, recall: bool },
}

fn ask(instance: &Arc<Instance>, inode: &Inode) -> Result<Way, Failure> {
    let file = control::File::of(instance, Some(inode))?;
    let status = file.child.status(&file.loc)?;
    if !matches!(status.state, State::Remote | State::Repair) {
        // The job looks at the rest.
        return Ok(Way::Recall);
    }
    let size = status.attributes.size();
    inode.learn(instance.this, Known::Cold { size });
    let store = instance.store().ok_or(Failure::NoStore)?;
    let can_fetch = store.can_fetch();
    // Asking counts: not for a store that leaves no choice.
    let may_recall = can_fetch && instance.may_recall(inode.gfid(), size);
    let checked = instance.config().checked;
    let source = decision::source(size <= PIECE, can_fetch, may_recall, checked);
    let Source::Object { recall } = source else {
        return Ok(Way::Recall);
    };
    let object = instance
        .objects
        .open(instance, &store, inode.gfid(), &status)?;
    Ok(Way::Object { object, recall })
}
