// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Bytes of an object that have come, and the memory that they take.

#![forbid(unsafe_code)]

use crate::objects::limits::Lease;

/// See the module. `B`: the host's memory that they are in.
#[derive(Debug)]
pub struct Chunk<B> {
    buffer: B,
    _lease: Lease<'static>,
}

impl<B> Chunk<B> {
    /// A buffer that is full, for whose memory there is a lease.
    #[must_use]
    pub const fn new(buffer: B, lease: Lease<'static>) -> Self {
        Self {
            buffer,
            _lease: lease,
        }
    }

    /// The memory that they are in.
    #[must_use]
    pub const fn buffer(&self) -> &B {
        &self.buffer
    }
}
