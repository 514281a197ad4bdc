// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Bytes of an object that have come, and the memory that they take.

#![forbid(unsafe_code)]

use crate::host::buffer::Buffer;
use cloudsync_logic::objects::limits::Lease;

/// See the module.
#[derive(Debug)]
pub struct Chunk {
    buffer: Buffer,
    _lease: Lease<'static>,
}

impl Chunk {
    /// A buffer that is full, for whose memory there is a lease.
    #[must_use]
    pub const fn new(buffer: Buffer, lease: Lease<'static>) -> Self {
        Self {
            buffer,
            _lease: lease,
        }
    }

    /// The memory that they are in.
    #[must_use]
    pub const fn buffer(&self) -> &Buffer {
        &self.buffer
    }
}
