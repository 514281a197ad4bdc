// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What is asked of a store, and what it answers.

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

/// What a store says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Bytes.
    pub size: u64,
    /// The store's version of it; empty if it has none.
    pub etag: String,
    /// Of the whole object, if the store has one that we can compute.
    pub checksum: Option<Checksum>,
}

/// A part of an object, to be fetched.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The object's key.
    pub key: &'a CStr,
    /// Its only version that will do, if that is known.
    pub version: Option<&'a CStr>,
    /// Of the whole object, bytes.
    pub size: u64,
    /// The bytes.
    pub range: Range<u64>,
}

/// Where the bytes go.
pub trait Sink {
    /// Takes the next ones. May block.
    ///
    /// # Errors
    /// They are not wanted any more.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Errno>;

    /// Whether nobody wants them any more.
    fn cancelled(&self) -> bool;

    /// What the store says of the whole object, beside its bytes.
    fn describe(&mut self, object: Object);
}
