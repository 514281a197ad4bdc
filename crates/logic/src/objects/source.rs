// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Which object it is and where it comes from: what its store says of it, and whether that is the file.

#![forbid(unsafe_code)]

use std::ffi::{CStr, CString};

use cloudsync_format::checksum::Checksum;

use crate::errno::{Errno, Failure};
use crate::host::Host;
use crate::objects::identity::Identity;
use crate::store::{self, Store as _};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, PoisonError};
use crate::work::busy::Busy;

/// See the module.
#[derive(Debug)]
pub struct Source<H: Host> {
    /// Which it is.
    pub identity: Identity,
    /// The instance that reads it.
    pub this: H::Instance,
    pub(super) store: Arc<H::Store>,
    /// Counts the requests that run on threads of their own.
    pub(super) busy: Arc<Busy>,
    /// The instance ends: so do the requests.
    ending: Arc<AtomicBool>,
    /// What the store said of it.
    described: Mutex<Option<store::Object>>,
    /// The version that the store has of it now, if that is another one and was proven to be the same object.
    adopted: Mutex<Option<CString>>,
}

impl<H: Host> Source<H> {
    /// An object that nobody has asked for yet.
    #[must_use]
    pub fn new(
        this: H::Instance,
        store: Arc<H::Store>,
        identity: Identity,
        busy: &Arc<Busy>,
        ending: &Arc<AtomicBool>,
    ) -> Self {
        Self {
            identity,
            this,
            store,
            busy: Arc::clone(busy),
            ending: Arc::clone(ending),
            described: Mutex::default(),
            adopted: Mutex::default(),
        }
    }

    /// Whether it is fetched as a whole and compared before it is shown.
    #[must_use]
    pub const fn is_one_piece(&self) -> bool {
        self.identity.size <= H::PIECE
    }

    /// What the object is, if that is the file. Asks the store, unless it has told with the bytes that came first. Blocks.
    ///
    /// # Errors
    /// Why not.
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

    /// The checksum that its bytes must have, if that is known: by the file's record, or else by the store. Blocks if that
    /// must be asked.
    ///
    /// # Errors
    /// Why the store does not say.
    pub fn checksum(&self) -> Result<Option<Checksum>, Failure> {
        match self.identity.checksum {
            Some(checksum) => Ok(Some(checksum)),
            None => Ok(self.describe()?.checksum),
        }
    }

    /// The store told it beside bytes of the object.
    pub(super) fn learn(&self, found: store::Object) {
        // One that is not the file is none that we know: whoever needs to know more asks, and hears why.
        if let Ok(found) = self.checked(found) {
            self.described
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(found);
        }
    }

    /// Whether the instance ends: requests are given up, and who waits for them gets ECANCELED.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// The version that the store has of it now, if it is not the one that the file was archived as.
    #[must_use]
    pub fn adopted(&self) -> Option<CString> {
        self.adopted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The version to insist on. Blocks if it must be asked for.
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

    /// The store says that it is another version than `refused`: asks whether it is the same object all the same. `None`: it
    /// cannot be told.
    ///
    /// # Errors
    /// It is not, or why the store does not say.
    pub(super) fn adopt(&self, refused: Option<&CStr>) -> Result<Option<CString>, Failure> {
        self.head()?;
        Ok(self
            .adopted()
            .filter(|adopted| refused != Some(adopted.as_c_str())))
    }

    /// Asks the store what the object is, and whether that is the file.
    ///
    /// # Errors
    /// Why not.
    fn head(&self) -> Result<store::Object, Failure> {
        let found = self
            .store
            .head(&self.identity.key)
            .map_err(Failure::Store)?
            .ok_or(Failure::Store(Errno::EOPNOTSUPP))?;
        self.checked(found)
    }

    /// What the store says of the object, if that is the file.
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
                    "object {}: it is version {now} now, it was {version}; size and checksum are the file's",
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

/// Whether an object's checksum is what it should be.
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
