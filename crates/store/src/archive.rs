// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The trait [`Archive`]: what the archiver needs of a store beyond recalls, to put, find and remove objects.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::restores::Restores;
use crate::{Checksum, Object, Rate, Store, StoreError};

/// Metadata of an object: names of `[a-z0-9-]`, values of any text. A store that supports fewer characters encodes the
/// others, and decodes them in [`Archive::describe`].
pub type Metadata = BTreeMap<String, String>;

/// The source of an upload's bytes. Several threads may read it at once.
pub trait Source: Sync {
    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// The error of the read; `UnexpectedEof` if the source has become shorter than the upload's size.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Bytes in memory.
impl Source for &[u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let begin = usize::try_from(offset).map_err(io::Error::other)?;
        let end = begin.checked_add(buffer.len());
        let bytes = end.and_then(|end| self.get(begin..end));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl Source for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

/// An object to upload.
#[derive(Clone, Copy)]
pub struct Upload<'a> {
    /// The object's size in bytes.
    pub size: u64,
    /// Checksum of the whole object. It is sent to the store, which refuses bytes that do not match; [`Store::head`]
    /// returns it.
    pub checksum: Checksum,
    /// Stored with the object.
    pub metadata: &'a Metadata,
    /// The object's bytes.
    pub source: &'a dyn Source,
    /// Limits the bytes sent per second, also within the object; those of a retry count again.
    pub rate: Option<&'a Arc<Rate>>,
    /// Whether the next upload to this key, should this one be cut off, sends the same bytes. If so, parts of it may be
    /// kept for that.
    pub resumable: bool,
}

impl std::fmt::Debug for Upload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("size", &self.size)
            .field("checksum", &self.checksum)
            .field("metadata", &self.metadata)
            .field("rate", &self.rate)
            .field("resumable", &self.resumable)
            .finish_non_exhaustive()
    }
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The key, as [`Store::head`] takes it.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was put, by the store's clock.
    pub modified: SystemTime,
}

/// A store that objects can be archived to. Several threads call it at once, and every method may block.
pub trait Archive: Store {
    /// Puts an object under a key that has none. Returns the object as [`Store::head`] will describe it, once the store
    /// has acknowledged that it keeps it. After an error, no object or part of one is visible under the key.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is an object already (law 8: an object is never overwritten),
    /// [`StoreError::Source`] if the bytes cannot be read, [`StoreError::Corrupt`] if they do not match the checksum.
    fn put(&self, key: &str, upload: &Upload<'_>) -> Result<Object, StoreError>;

    /// An object and its metadata.
    ///
    /// # Errors
    /// As [`Store::head`].
    fn describe(&self, key: &str) -> Result<(Object, Metadata), StoreError>;

    /// Whether [`put`](Self::put) would make such an object of a file today, or would make it in another way, as for other
    /// recipients. `key`: of an object that exists.
    ///
    /// # Errors
    /// As [`Store::head`].
    fn is_current(&self, _key: &str) -> Result<bool, StoreError> {
        Ok(true)
    }

    /// The storage class of an object, by which it is paid for; `None` if this store has no classes.
    ///
    /// # Errors
    /// As [`Store::head`].
    fn class(&self, _key: &str) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// The objects that must be restored before they can be read; `None` if this store has none, or cannot restore them.
    fn restores(&self) -> Option<&dyn Restores> {
        None
    }

    /// Calls `each` for every object whose key begins with `prefix`, in no particular order, until it breaks.
    ///
    /// # Errors
    /// The store's error, after `each` may have been called for some objects.
    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Removes an object. Succeeds if the object does not exist.
    ///
    /// # Errors
    /// The store's error.
    fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Removes objects, as [`delete`](Self::delete) does. Returns an error for each object that may still be there. A
    /// store that can remove several in one request should.
    fn delete_all(&self, keys: &[&str]) -> Vec<(String, StoreError)> {
        let failed = |key: &&str| Some(((*key).to_owned(), self.delete(key).err()?));
        keys.iter().filter_map(failed).collect()
    }

    /// How many of the objects that were removed so far the store keeps as a hidden version, which still costs money.
    fn hidden(&self) -> u64 {
        0
    }

    /// Keys of uploads that were started more than `age` ago and never completed; aborts them if `remove`. Their parts
    /// appear in no listing, but occupy space.
    ///
    /// # Errors
    /// The store's error.
    fn unfinished(
        &self,
        prefix: &str,
        age: Duration,
        remove: bool,
    ) -> Result<Vec<String>, StoreError>;
}
