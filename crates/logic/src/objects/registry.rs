// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The objects that an instance has open, one for each file that is read.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::time::Duration;

use crate::errno::{Errno, Failure};
use crate::gfid::Gfid;
use crate::host::Host;
use crate::objects::identity::Identity;
use crate::objects::object::Object;
use crate::status::Status;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::work::busy::Busy;

/// The objects that are in use.
#[derive(Debug)]
pub struct Objects<H: Host> {
    open: Mutex<HashMap<Gfid, Arc<Object<H>>>>,
    /// Reads that were answered from memory or by a request.
    pub reads: AtomicU64,
    busy: Arc<Busy>,
    /// No more of them. Objects that were closed look at it too: requests may still be out for them.
    ending: Arc<AtomicBool>,
}

/// How many may be open before those that nobody uses are closed.
const OPEN: usize = 64;

impl<H: Host> Objects<H> {
    /// None; their requests are counted there.
    #[must_use]
    pub fn new(busy: &Arc<Busy>) -> Self {
        Self {
            open: Mutex::default(),
            reads: AtomicU64::new(0),
            busy: Arc::clone(busy),
            ending: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Gfid, Arc<Object<H>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, gfid: Gfid) -> Option<Arc<Object<H>>> {
        self.lock().get(&gfid).map(Arc::clone)
    }

    /// The object of a file, by what the bricks said of it just now.
    ///
    /// # Errors
    /// [`Failure::Damaged`], and [`Failure::Cancelled`] once the instance ends.
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
            this,
            Arc::clone(store),
            identity,
            attributes,
            &self.busy,
            &self.ending,
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

    /// The file is local, or will be read in another way. Who waits for bytes that are on their way gets them, or
    /// `refused`.
    pub fn close(&self, gfid: Gfid, refused: Option<Errno>) {
        let closed = self.lock().remove(&gfid);
        if let Some((object, errno)) = closed.as_ref().zip(refused) {
            object.refuse(errno);
        }
        drop(closed);
    }

    /// Waits, but not long, until everybody has what they wait for of this file: a recall takes what the machine has, and
    /// is in less of a hurry than who reads. Blocks.
    pub fn let_readers_first(&self, gfid: Gfid) {
        const AT_MOST: Duration = Duration::from_millis(20);
        if let Some(object) = self.get(gfid) {
            object.await_readers(AT_MOST);
        }
    }

    /// The instance ends: no requests begin, those that there are end soon, and who waits for them gets ECANCELED.
    pub fn end(&self) {
        let closed = {
            let mut open = self.lock();
            self.ending.store(true, Ordering::Release);
            std::mem::take(&mut *open)
        };
        for object in closed.values() {
            object.refuse(Errno::ECANCELED);
        }
        drop(closed);
    }

    /// Everybody who waits for bytes of this file gets ECANCELED. Returns whether somebody did.
    pub fn cancel(&self, gfid: Gfid) -> bool {
        self.get(gfid)
            .is_some_and(|object| object.refuse(Errno::ECANCELED))
    }

    /// How many reads wait for bytes; `None` when that cannot be told without waiting.
    #[must_use]
    pub fn waiting(&self) -> Option<usize> {
        let open = self.open.try_lock().ok()?;
        Some(open.values().map(|object| object.waiting()).sum())
    }
}
