// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The questions to a store, and its answers.

#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::fmt::Debug;
use std::ops::Range;

use cloudsync_format::checksum::Checksum;

use crate::errno::Errno;

/// A store that is up.
pub trait Store: Debug + Send + Sync + 'static {
    /// Asks for an object; `Ok(None)` if the store cannot be asked. Blocks.
    ///
    /// # Errors
    /// ENODATA if there is none, otherwise what the store says.
    fn head(&self, key: &CStr) -> Result<Option<Object>, Errno>;

    /// Gives `sink` the bytes of a part, each once, in order. Blocks.
    ///
    /// # Errors
    /// What the store or the sink says, and EOPNOTSUPP if the store cannot fetch parts.
    fn fetch(&self, part: &Part<'_>, sink: &mut dyn Sink) -> Result<(), Errno>;
}

/// An object, as its store describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Size in bytes.
    pub size: u64,
    /// The store's version of the object; empty if the store has none.
    pub etag: String,
    /// Checksum of the whole object, if the store has one of a kind that we can compute.
    pub checksum: Option<Checksum>,
}

/// A part of an object, to be fetched.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The object's key.
    pub key: &'a CStr,
    /// The only acceptable version, if it is known.
    pub version: Option<&'a CStr>,
    /// Size of the whole object in bytes.
    pub size: u64,
    /// The byte range of the part.
    pub range: Range<u64>,
}

/// Receives the bytes of a part.
pub trait Sink {
    /// Takes the next bytes. May block.
    ///
    /// # Errors
    /// The errno with which the plugin must give up.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Errno>;

    /// Whether the bytes are no longer needed.
    fn cancelled(&self) -> bool;

    /// Takes the store's description of the whole object, received with its bytes.
    fn describe(&mut self, object: Object);
}
