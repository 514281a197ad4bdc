// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reads of a cold file by the slot `fop_remote_read` of a plugin, without a recall. [`reading`] is one of them.

mod reading;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::LoadedStore;
use crate::host::attributes::Attributes;
use crate::host::child::Status;
use crate::host::inode::Inode;
use crate::host::ticket::Ticket;
use cloudsync_logic::errno::Failure;
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::objects::identity::Identity;
use cloudsync_logic::remote::Asked;
use cloudsync_logic::work::busy::Running;

use self::reading::Reading;
pub(crate) use self::reading::answered;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A cold file and its object.
#[derive(Debug)]
pub struct Cold {
    inode: Inode,
    identity: Identity,
    uuid: Option<[u8; 16]>,
    attributes: Attributes,
}

impl Cold {
    /// The file with this status on the bricks.
    ///
    /// # Errors
    /// [`Failure::Damaged`].
    pub fn of(inode: &Inode, status: &Status) -> Result<Self, Failure> {
        Ok(Self {
            inode: inode.clone(),
            identity: Identity::of(status)?,
            uuid: status.archive_uuid,
            attributes: status.attributes,
        })
    }

    /// The number of bytes of the file that a read requests.
    #[must_use]
    pub fn bytes_of(&self, read: &Ticket) -> u64 {
        let (offset, size) = (read.arguments().offset(), read.arguments().size());
        size.min(self.identity.size.saturating_sub(offset))
    }
}

/// The remote reads of an instance that are not answered yet.
#[derive(Debug, Default)]
pub struct Readings {
    /// By address.
    all: Mutex<HashMap<usize, Arc<Reading>>>,
    /// The instance is shutting down.
    ending: AtomicBool,
}

impl Readings {
    /// Lets the plugin answer a read of a cold file. Blocks as long as the plugin does. `running`: counts the read as work
    /// of the instance.
    pub fn read(
        self: &Arc<Self>,
        ticket: Ticket,
        file: Box<Cold>,
        store: Arc<LoadedStore>,
        running: Running,
    ) {
        let asked = Asked {
            offset: ticket.arguments().offset(),
            size: ticket.arguments().size(),
            file: file.attributes.size(),
        };
        let held = (Arc::clone(&store), running);
        let reading = Reading::new(self, file, asked, held);
        if asked.due() == 0 {
            return reading.answer_nothing(ticket);
        }
        reading.run(ticket, &store);
    }

    /// Adds a read that waits for the plugin.
    fn add(&self, reading: &Arc<Reading>) {
        lock(&self.all).insert(Arc::as_ptr(reading).addr(), Arc::clone(reading));
        if self.ending.load(Ordering::Acquire) {
            reading.cancel();
        }
    }

    /// Removes a read that does not wait any more.
    fn remove(&self, reading: &Reading) {
        lock(&self.all).remove(&std::ptr::from_ref(reading).addr());
    }

    fn list(&self) -> Vec<Arc<Reading>> {
        lock(&self.all).values().cloned().collect()
    }

    /// Fails the file's reads with ECANCELED. Returns whether there were any.
    pub fn cancel(&self, gfid: Gfid) -> bool {
        let all = self.list().into_iter();
        let of_file = all.filter(|reading| reading.gfid() == gfid);
        of_file.map(|reading| reading.cancel()).count() > 0
    }

    /// Fails all reads with ECANCELED.
    pub fn cancel_all(&self) {
        for reading in self.list() {
            reading.cancel();
        }
    }

    /// Shuts down: as [`Self::cancel_all`], and no read is passed to the plugin any more.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.cancel_all();
    }

    /// The number of waiting reads; `None` if it cannot be determined without blocking.
    #[must_use]
    pub fn waiting(&self) -> Option<usize> {
        Some(self.all.try_lock().ok()?.len())
    }
}

impl LoadedStore {
    /// Whether the plugin implements `fop_remote_read`.
    #[must_use]
    pub const fn can_read(&self) -> bool {
        // SAFETY: the table is the plugin's constant.
        unsafe { self.ops.as_ref() }.fop_remote_read.is_some()
    }
}
