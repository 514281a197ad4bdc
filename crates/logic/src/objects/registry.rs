// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The open objects of an instance, one for each file being read.

#![forbid(unsafe_code)]

use cloudsync_format::jobs::Waiter;
use std::collections::HashMap;
use std::time::Duration;

use crate::allowance::Allowance;
use crate::errno::{Errno, Failure};
use crate::gfid::Gfid;
use crate::host::Host;
use crate::objects::identity::Identity;
use crate::objects::object::Object;
use crate::status::Status;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::work::busy::Busy;

/// The open objects.
#[derive(Debug)]
pub struct Objects<H: Host> {
    open: Mutex<HashMap<Gfid, Arc<Object<H>>>>,
    busy: Arc<Busy>,
    /// How much reads may have restored.
    allowance: Arc<Allowance>,
    /// The instance is shutting down. Shared with the objects, since closed ones may still have requests in flight.
    ending: Arc<AtomicBool>,
}

/// When this many objects are open, unused ones are closed before another is opened.
const OPEN: usize = 64;

impl<H: Host> Objects<H> {
    /// Creates an empty registry. `busy` counts the objects' requests.
    #[must_use]
    pub fn new(busy: &Arc<Busy>, allowance: &Arc<Allowance>) -> Self {
        Self {
            open: Mutex::default(),
            busy: Arc::clone(busy),
            allowance: Arc::clone(allowance),
            ending: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Gfid, Arc<Object<H>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object that a file was last seen to have, if it is open.
    #[must_use]
    pub fn get(&self, gfid: Gfid) -> Option<Arc<Object<H>>> {
        self.lock().get(&gfid).map(Arc::clone)
    }

    /// Opens the object of a file. `status`: the file's current status on the bricks.
    ///
    /// # Errors
    /// [`Failure::Damaged`], and [`Failure::Cancelled`] once the instance is shutting down.
    pub fn open(
        &self,
        this: H::Instance,
        store: &Arc<H::Store>,
        gfid: Gfid,
        status: &Status<H::Attributes>,
    ) -> Result<Arc<Object<H>>, Failure> {
        let identity = Identity::of(status)?;
        let mut open = self.lock();
        if self.ending.load(Ordering::Acquire) {
            return Err(Failure::Cancelled);
        }
        if let Some(object) = open.get(&gfid)
            && object.matches(&identity, store)
        {
            return Ok(Arc::clone(object));
        }
        let mut closed = Vec::new();
        if open.len() >= OPEN {
            closed.extend(open.extract_if(|_, object| Arc::strong_count(object) == 1));
        }
        let attributes = &status.attributes;
        let object = Object::new(
            this,
            Arc::clone(store),
            identity,
            attributes,
            &self.busy,
            &self.allowance,
            &self.ending,
        );
        closed.extend(
            open.insert(gfid, Arc::clone(&object))
                .map(|old| (gfid, old)),
        );
        // Outside the lock: dropping the last reference to a store unloads it.
        drop(open);
        drop(closed);
        Ok(object)
    }

    /// Closes a file's object: the file is local, or will be read in another way. Waiting reads fail with `errno`; with
    /// `None` they still get their bytes.
    pub fn close(&self, gfid: Gfid, errno: Option<Errno>) {
        let closed = self.lock().remove(&gfid);
        if let Some((object, errno)) = closed.as_ref().zip(errno) {
            object.fail_reads(errno);
        }
        drop(closed);
    }

    /// Waits a short time for the file's waiting reads to be answered: a recall competes with them for the machine, and
    /// is less urgent. Blocks.
    pub fn let_readers_first(&self, gfid: Gfid) {
        const AT_MOST: Duration = Duration::from_millis(20);
        if let Some(object) = self.get(gfid) {
            object.await_readers(AT_MOST);
        }
    }

    /// Shuts down: no request starts any more, those in flight are cancelled, and waiting reads fail with ECANCELED.
    pub fn end(&self) {
        let closed = {
            let mut open = self.lock();
            self.ending.store(true, Ordering::Release);
            std::mem::take(&mut *open)
        };
        for object in closed.values() {
            object.fail_reads(Errno::ECANCELED);
        }
        drop(closed);
    }

    /// Fails the file's waiting reads with ECANCELED. Returns whether there were any.
    pub fn cancel(&self, gfid: Gfid) -> bool {
        self.get(gfid)
            .is_some_and(|object| object.fail_reads(Errno::ECANCELED))
    }

    /// The file's waiting reads; nothing if that cannot be determined without blocking.
    #[must_use]
    pub fn waiters(&self, gfid: Gfid) -> Vec<Waiter> {
        let open = self.open.try_lock().ok();
        let object = open.and_then(|open| open.get(&gfid).map(Arc::clone));
        object.map_or_else(Vec::new, |object| object.waiters())
    }

    /// The number of waiting reads; `None` if it cannot be determined without blocking.
    #[must_use]
    pub fn waiting(&self) -> Option<usize> {
        let open = self.open.try_lock().ok()?;
        Some(open.values().map(|object| object.waiting()).sum())
    }
}
