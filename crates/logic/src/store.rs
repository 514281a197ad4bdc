// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A store as objects see it: queries and requests, and the answers.

#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::fmt::Debug;
use std::ops::Range;

use cloudsync_format::checksum::Checksum;

use crate::errno::Errno;

/// A loaded store.
pub trait Store: Debug + Send + Sync + 'static {
    /// Queries an object's metadata; `Ok(None)` if the store does not support that. Blocks.
    ///
    /// # Errors
    /// ENODATA if there is no such object, otherwise the store's errno.
    fn head(&self, key: &CStr) -> Result<Option<Object>, Errno>;

    /// Passes the bytes of a part to `sink`, each once and in order. Blocks.
    ///
    /// # Errors
    /// The store's or the sink's errno; EOPNOTSUPP if the store cannot fetch parts.
    fn fetch(&self, part: &Part<'_>, sink: &mut dyn Sink) -> Result<(), Errno>;
}

/// An object, as its store describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Size in bytes.
    pub size: u64,
    /// The store's version of the object; empty if the store has none.
    pub etag: String,
    /// Checksum of the whole object, if the store has one that we can compute.
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
    /// Receives the next bytes. May block.
    ///
    /// # Errors
    /// The errno with which the plugin must give up.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Errno>;

    /// Whether the bytes are no longer needed.
    fn cancelled(&self) -> bool;

    /// Receives the store's metadata of the whole object, if they are sent along with its bytes.
    fn describe(&mut self, object: Object);

    /// Called when the store asked for fewer requests.
    fn throttled(&mut self);

    /// Whether the store may restore an archived object for this request, which costs money.
    fn may_restore(&mut self) -> bool;

    /// Called before and after the store waits for an object for long (`begins`: before), as for one that is being
    /// restored. Others get its place meanwhile. Returns whether it may wait.
    fn waits(&mut self, begins: bool) -> bool;
}
