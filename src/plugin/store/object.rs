// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What is asked of a store, and what it says. Nothing of C is here, so that tests/races can have the same.

use std::ffi::CStr;
use std::ops::Range;

use cloudsync_format::checksum::Checksum;

use cloudsync_logic::errno::Errno;

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
