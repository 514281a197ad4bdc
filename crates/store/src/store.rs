// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The trait [`Store`] that a plugin implements, and the types that it uses.

#![forbid(unsafe_code)]

use std::ops::Range;

use crate::{Checksum, Options, StoreError};

/// An object's description by its store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Size in bytes.
    pub size: u64,
    /// The object's version, as text; [`Store::fetch`] gets it to insist on that version.
    pub etag: Option<String>,
    /// Checksum of the whole object, if known; the SDK compares it with the bytes received.
    pub checksum: Option<Checksum>,
}

/// The destination of fetched bytes.
pub trait Sink {
    /// Takes the next bytes of the range. May block while the volume is slower than the store.
    ///
    /// # Errors
    /// [`StoreError::Sink`] if the volume refused bytes, [`StoreError::Corrupt`] if there are more than the range has,
    /// [`StoreError::Cancelled`]. The store must then stop and return the error.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Whether the bytes are no longer needed. Check while waiting; [`write`](Self::write) checks by itself.
    fn cancelled(&self) -> bool;

    /// For a store whose answer to a request for bytes includes everything that [`Store::head`] returns: a call before
    /// the first `write` saves the request for this object's head. Optional.
    fn describe(&mut self, object: &Object) {
        let _ = object;
    }

    /// Tell that the store asked for fewer requests, before the request is repeated: fewer are sent at once then.
    fn throttled(&mut self) {}

    /// Whether the store may restore an archived object for this request, which costs money: the administrator's guard
    /// against mass recalls may forbid it.
    fn may_restore(&mut self) -> bool {
        true
    }

    /// Tell before and after a long wait for an object, as for one that is being restored (`begins`: before): others get
    /// its place meanwhile. Returns whether it may wait: not if too many do.
    fn waits(&mut self, begins: bool) -> bool {
        let _ = begins;
        true
    }
}

/// A store. There is one value per volume; several threads call it at once, and every method may block.
pub trait Store: Send + Sync + 'static {
    /// Creates a store from the volume's options. Must not wait for the network: mounting waits for this call, and a
    /// store that is down is not a wrong setting.
    ///
    /// # Errors
    /// [`StoreError::Settings`], which names the option and the expected value.
    fn open(options: &Options) -> Result<Self, StoreError>
    where
        Self: Sized;

    /// Describes an object. `key` is plain text, not encoded in any way.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is no such object, or the store's error.
    fn head(&self, key: &str) -> Result<Object, StoreError>;

    /// Writes the bytes `range` of the object to `sink`, each once and in order. `object` is what [`head`](Self::head)
    /// returned; if the object is another version by now, fails with [`StoreError::Changed`].
    ///
    /// # Errors
    /// The error of the store or the sink. The bytes written until then are discarded.
    fn fetch(
        &self,
        key: &str,
        object: &Object,
        range: Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError>;
}
