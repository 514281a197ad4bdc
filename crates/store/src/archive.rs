// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the archiver needs of a store beyond recalls: to put objects there, to find them, and to remove them.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use crate::{Checksum, Object, Store, StoreError};

/// What a store keeps beside an object's bytes: names of `[a-z0-9-]`, values of any text. A store that can hold only
/// some characters encodes the others itself, and decodes them again in [`Archive::describe`].
pub type Metadata = BTreeMap<String, String>;

/// Where an upload's bytes come from. Several threads may read it at once.
pub trait Source: Sync {
    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// What reading answers; `UnexpectedEof` when the source has become shorter than the upload says.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// An object to be.
#[derive(Clone, Copy)]
pub struct Upload<'a> {
    /// Bytes.
    pub size: u64,
    /// Of the whole object. The store is told, refuses what does not match, and [`Store::head`] gives it back.
    pub checksum: Checksum,
    /// Kept beside the bytes.
    pub metadata: &'a Metadata,
    /// The bytes.
    pub source: &'a dyn Source,
}

impl std::fmt::Debug for Upload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("size", &self.size)
            .field("checksum", &self.checksum)
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// As [`Store::head`] takes it.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was put there, by the store's clock.
    pub modified: SystemTime,
}

/// A store that can be archived to. Several threads call it at once, and all of them may block.
pub trait Archive: Store {
    /// Puts an object where there is none. Returns it as [`Store::head`] will show it, once the store has promised to
    /// keep it; after an error nothing of it can be seen under its key.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is one (law 8: an object is never overwritten), [`StoreError::Source`] when the
    /// bytes cannot be read, [`StoreError::Corrupt`] when they are not those of the checksum.
    fn put(&self, key: &str, upload: &Upload<'_>) -> Result<Object, StoreError>;

    /// An object and what is kept beside it.
    ///
    /// # Errors
    /// As [`Store::head`].
    fn describe(&self, key: &str) -> Result<(Object, Metadata), StoreError>;

    /// Shows `each` object whose key begins with `prefix`, in no order that can be relied on, until it breaks.
    ///
    /// # Errors
    /// What the store answers. `each` has then seen some of them.
    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Removes an object. That there is none is no error.
    ///
    /// # Errors
    /// What the store answers.
    fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Uploads that began before `age` ago and never ended, by key; removes them if `remove`. What they hold is in
    /// nobody's listing and costs space all the same.
    ///
    /// # Errors
    /// What the store answers.
    fn unfinished(
        &self,
        prefix: &str,
        age: Duration,
        remove: bool,
    ) -> Result<Vec<String>, StoreError>;
}
