// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a plugin implements, and what it gets to do it with.

#![forbid(unsafe_code)]

use std::ops::Range;

use crate::{Checksum, Options, StoreError};

/// An object as its store describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Bytes.
    pub size: u64,
    /// The store's version of the object, as text; [`Store::fetch`] gets it back to insist on that version.
    pub etag: Option<String>,
    /// Of the whole object; the SDK compares it with what arrives.
    pub checksum: Option<Checksum>,
}

/// Where fetched bytes go.
pub trait Sink {
    /// Takes the next bytes of the range. May block while the volume is slower than the store.
    ///
    /// # Errors
    /// [`StoreError::Sink`] when the volume refused bytes, [`StoreError::Corrupt`] when there are more than the range
    /// has, [`StoreError::Cancelled`]. A store stops then and hands the error on.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Whether nobody wants the bytes any more. Ask while waiting; [`write`](Self::write) asks by itself.
    fn cancelled(&self) -> bool;

    /// For a store whose answer to the request for bytes tells all that [`Store::head`] would: call it before the first
    /// `write`, and nobody asks for this object's head. Need not be called.
    fn describe(&mut self, object: &Object) {
        let _ = object;
    }
}

/// A store. One value per volume; several threads call it at once, and all of them may block.
pub trait Store: Send + Sync + 'static {
    /// Makes a store of the volume's options. Must not wait for the network: a mount waits for this, and a store that
    /// is down right now is not a wrong setting.
    ///
    /// # Errors
    /// [`StoreError::Settings`], naming the option and what would be right.
    fn open(options: &Options) -> Result<Self, StoreError>
    where
        Self: Sized;

    /// Asks the store for an object. `key` is plain text, not encoded in any way.
    ///
    /// # Errors
    /// [`StoreError::Missing`] and whatever else the store answers.
    fn head(&self, key: &str) -> Result<Object, StoreError>;

    /// Gives `sink` the bytes `range` of the object, each once, in order. `object` is what [`head`](Self::head)
    /// answered: if the object is another one by now, that is [`StoreError::Changed`].
    ///
    /// # Errors
    /// What the store or the sink answers. What the sink got until then is thrown away.
    fn fetch(
        &self,
        key: &str,
        object: &Object,
        range: Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError>;
}
