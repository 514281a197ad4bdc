// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Where an object comes from: queries the store for its metadata, and checks that it is the file's object.

#![forbid(unsafe_code)]

use std::ffi::{CStr, CString};

use cloudsync_format::checksum::Checksum;

use crate::allowance::Allowance;
use crate::budget::Reservation;
use crate::errno::{Errno, Failure};
use crate::host::Host;
use crate::objects::identity::Identity;
use crate::store::{self, Store as _};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::work::busy::Busy;
use cloudsync_format::message;

/// An object's identity, and the store that has it.
#[derive(Debug)]
pub struct Source<H: Host> {
    /// The object that the file needs.
    pub identity: Identity,
    /// The instance that reads it.
    pub this: H::Instance,
    pub(super) store: Arc<H::Store>,
    /// Counts the requests that run on threads of their own.
    pub(super) busy: Arc<Busy>,
    /// How much reads may have restored.
    allowance: Arc<Allowance>,
    /// A recall has reserved the whole object's bytes of the budget: reads of it share them.
    covered: AtomicBool,
    /// It was charged to the allowance. Locked while that is asked, because reads of the file ask at the same time.
    charged: Mutex<bool>,
    /// The instance is shutting down: requests are cancelled.
    ending: Arc<AtomicBool>,
    /// The store's metadata of the object.
    described: Mutex<Option<store::Object>>,
    /// The object's current version in the store, if it differs from the archived one but is proven to be the same
    /// bytes.
    adopted: Mutex<Option<CString>>,
}

impl<H: Host> Source<H> {
    /// Creates a source. Does not query the store.
    #[must_use]
    pub fn new(
        this: H::Instance,
        store: Arc<H::Store>,
        identity: Identity,
        busy: &Arc<Busy>,
        allowance: &Arc<Allowance>,
        ending: &Arc<AtomicBool>,
    ) -> Self {
        Self {
            identity,
            this,
            store,
            busy: Arc::clone(busy),
            allowance: Arc::clone(allowance),
            covered: AtomicBool::new(false),
            charged: Mutex::new(false),
            ending: Arc::clone(ending),
            described: Mutex::default(),
            adopted: Mutex::default(),
        }
    }

    /// Records that a recall of the file was charged to the allowance of reads.
    pub fn charge(&self) {
        *self.charged() = true;
    }

    fn charged(&self) -> MutexGuard<'_, bool> {
        self.charged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store may restore the object for a read, which costs money. It is charged as a recall is.
    pub(super) fn may_restore(&self) -> bool {
        let mut charged = self.charged();
        *charged = *charged || self.allowance.allows(self.identity.size);
        *charged
    }

    /// Whether a recall has reserved the object's bytes of the budget.
    pub fn cover(&self, covered: bool) {
        self.covered.store(covered, Ordering::Release);
    }

    /// Reserves the bytes of a read's request. `None`: they need not be.
    ///
    /// # Errors
    /// [`Failure::OverBudget`].
    pub(super) fn reserve(&self, bytes: u64) -> Result<Option<Reservation>, Failure> {
        let budget = &self.allowance.budget;
        if self.covered.load(Ordering::Acquire) {
            return Ok(None);
        }
        match budget.reserve(bytes) {
            None if !budget.serves() => Err(Failure::OverBudget(bytes)),
            reserved => Ok(reserved),
        }
    }

    /// Counts bytes that have arrived.
    pub(super) fn spend(&self, bytes: u64, reserved: Option<&Reservation>) {
        self.allowance.budget.receive(bytes, reserved);
    }

    /// Whether the object is fetched as a whole, and its checksum verified before any byte is returned.
    #[must_use]
    pub const fn is_one_piece(&self) -> bool {
        self.identity.size <= H::PIECE
    }

    /// Returns the store's metadata of the object. Queries the store, unless it sent them along with bytes. Blocks.
    ///
    /// # Errors
    /// The object is not the file's, or the query failed.
    pub fn describe(&self) -> Result<store::Object, Failure> {
        let mut described = self
            .described
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*described {
            return Ok(known.clone());
        }
        let found = self.head()?;
        *described = Some(found.clone());
        Ok(found)
    }

    /// The expected checksum of the object, if known: from the file's record, otherwise from the store. Blocks if the
    /// store must be queried.
    ///
    /// # Errors
    /// Those of [`Self::describe`].
    pub fn checksum(&self) -> Result<Option<Checksum>, Failure> {
        match self.identity.checksum {
            Some(checksum) => Ok(Some(checksum)),
            None => Ok(self.describe()?.checksum),
        }
    }

    /// Remembers metadata that the store sent along with bytes of the object.
    pub(super) fn learn(&self, found: store::Object) {
        // If it is not the file's object, it is ignored here: the next query reports why.
        if let Ok(found) = self.checked(found) {
            self.described
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(found);
        }
    }

    /// Whether the instance is shutting down: requests are cancelled, and waiting reads fail with ECANCELED.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// The object's current version in the store, if it differs from the archived one and was accepted.
    #[must_use]
    pub fn adopted(&self) -> Option<CString> {
        self.adopted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The version to require in requests. Blocks if the store must be queried for it.
    pub(super) fn version(&self) -> Result<Option<CString>, Failure> {
        if let Some(adopted) = self.adopted() {
            return Ok(Some(adopted));
        }
        if let Some(version) = &self.identity.version {
            return Ok(Some(version.clone()));
        }
        let etag = self.describe()?.etag;
        Ok(CString::new(etag).ok().filter(|etag| !etag.is_empty()))
    }

    /// Its key, for the log.
    #[must_use]
    pub fn key(&self) -> &CStr {
        &self.identity.key
    }

    /// Called when the store no longer has version `refused`: returns the current version, if its checksum and size
    /// prove that it is the same object. `None`: the store has no other version that was accepted.
    ///
    /// # Errors
    /// It is another object, or the query failed.
    pub(super) fn adopt(&self, refused: Option<&CStr>) -> Result<Option<CString>, Failure> {
        self.head()?;
        Ok(self
            .adopted()
            .filter(|adopted| refused != Some(adopted.as_c_str())))
    }

    /// Queries the store for the object's metadata, and checks them.
    ///
    /// # Errors
    /// The object is not the file's, or the query failed.
    fn head(&self) -> Result<store::Object, Failure> {
        let found = self
            .store
            .head(&self.identity.key)
            .map_err(Failure::Store)?
            .ok_or(Failure::Store(Errno::EOPNOTSUPP))?;
        self.checked(found)
    }

    /// Checks that the object with these metadata is the file's.
    fn checked(&self, found: store::Object) -> Result<store::Object, Failure> {
        let identity = &self.identity;
        let other = |why: String, errno| Failure::Object {
            key: identity.key.to_string_lossy().into_owned(),
            why,
            errno,
        };
        let version = identity.version.as_deref().map(CStr::to_string_lossy);
        if let Some(version) =
            version.filter(|version| !found.etag.is_empty() && *version != found.etag)
        {
            let now = &found.etag;
            let proven = found.size == identity.size
                && identity.checksum.is_some()
                && identity.checksum == found.checksum;
            let adopted = CString::new(now.as_str()).ok().filter(|_| proven);
            let Some(adopted) = adopted else {
                let why = format!(
                    "it is version {now} in the store, the file was archived as {version}, and size and checksum do not prove \
                     that it is the same (cloudsync verify --adopt)"
                );
                return Err(other(why, Errno::ESTALE));
            };
            if self.adopted().as_ref() != Some(&adopted) {
                log::info!(
                    id = message::OTHER_VERSION;
                    "object {}: its version in the store is {now}, no longer {version}; its size and checksum match the file's",
                    identity.key.to_string_lossy()
                );
                *self.adopted.lock().unwrap_or_else(PoisonError::into_inner) = Some(adopted);
            }
        }
        if found.size != identity.size {
            let (stored, size) = (found.size, identity.size);
            let why = format!("it has {stored} bytes in the store, the file has {size}");
            return Err(other(why, Errno::EBADMSG));
        }
        Ok(found)
    }
}

/// Checks that an object has the expected checksum.
///
/// # Errors
/// [`Failure::Object`].
pub fn compare(key: &CStr, expected: Checksum, found: Checksum) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::Object {
        key: key.to_string_lossy().into_owned(),
        why: format!("checksum {found}, should be {expected}"),
        errno: Errno::EBADMSG,
    })
}
