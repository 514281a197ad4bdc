// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Bytes of an object in memory.

#![forbid(unsafe_code)]

use crate::objects::limits::Lease;

/// A full buffer and the lease on its memory. `B`: the host's buffer.
#[derive(Debug)]
pub struct Chunk<B> {
    buffer: B,
    _lease: Lease<'static>,
}

impl<B> Chunk<B> {
    /// Creates a chunk from a full buffer.
    #[must_use]
    pub const fn new(buffer: B, lease: Lease<'static>) -> Self {
        Self {
            buffer,
            _lease: lease,
        }
    }

    /// The buffer.
    #[must_use]
    pub const fn buffer(&self) -> &B {
        &self.buffer
    }
}
