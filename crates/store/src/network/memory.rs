// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Bounds the memory that a store's uploads use, and reuses their buffers.
//!
//! Buffers are reused because an allocator keeps freed blocks of this size for each thread: a program that may use 128
//! MiB would grow to twice that.

#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::checksum::Algorithm;
use crate::{Checksum, Source, StoreError};

/// Bytes of all uploads in flight.
const MOST: usize = 128 << 20;

/// The memory budget of a store's uploads.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    room: Arc<Semaphore>,
    spare: Mutex<Vec<Vec<u8>>>,
}

/// A reservation of memory for a part of a file.
#[derive(Debug)]
pub struct Room {
    memory: Memory,
    size: usize,
    _permit: OwnedSemaphorePermit,
}

/// A part of a file in memory. Dropping it returns the buffer and the reservation.
#[derive(Debug)]
pub struct Piece {
    bytes: Bytes,
    room: Room,
}

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::new(Shared {
            room: Arc::new(Semaphore::new(MOST >> 10)),
            spare: Mutex::default(),
        }))
    }
}

impl Memory {
    /// Waits until `size` bytes are free in the budget, and reserves them.
    ///
    /// # Errors
    /// Never in practice: the semaphore is not closed.
    pub async fn take(&self, size: u64) -> Result<Room, StoreError> {
        let size = usize::try_from(size).map_err(|error| StoreError::Other(error.to_string()))?;
        // A part larger than the whole budget takes all of it, and is sent alone.
        let kib = size.div_ceil(1 << 10).clamp(1, MOST >> 10);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.0.room).acquire_many_owned(kib).await;
        Ok(Room {
            memory: self.clone(),
            size,
            _permit: taken.map_err(|error| StoreError::Other(error.to_string()))?,
        })
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of that length with arbitrary content.
    fn buffer(&self, size: usize) -> Vec<u8> {
        let mut spare = self.spare();
        let fits = |buffer: &Vec<u8>| (size..=size.saturating_mul(2)).contains(&buffer.capacity());
        let found = spare.iter().position(fits);
        let mut buffer = found.map_or_else(Vec::new, |at| spare.swap_remove(at));
        // Buffers in use and spare ones together stay within the budget.
        let used = MOST - (self.0.room.available_permits() << 10).min(MOST);
        while used + spare.iter().map(Vec::capacity).sum::<usize>() > MOST {
            spare.pop();
        }
        drop(spare);
        buffer.resize(size, 0);
        buffer
    }

    fn keep(&self, buffer: Vec<u8>) {
        // Small buffers are left to the allocator.
        if buffer.capacity() >= 1 << 20 {
            self.spare().push(buffer);
        }
    }
}

impl Room {
    /// Reads the bytes from `offset` on into a buffer, and computes their checksum.
    ///
    /// # Errors
    /// [`StoreError::Source`].
    pub fn read(
        self,
        source: &dyn Source,
        algorithm: Algorithm,
        offset: u64,
    ) -> Result<(Piece, Checksum), StoreError> {
        let mut buffer = self.memory.buffer(self.size);
        source
            .read_exact_at(&mut buffer, offset)
            .map_err(|error| StoreError::Source(error.to_string()))?;
        let checksum = algorithm.of(&buffer);
        let bytes = Bytes::from(buffer);
        Ok((Piece { bytes, room: self }, checksum))
    }
}

impl Piece {
    /// The bytes as a request's body, without a copy.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // A connection that was abandoned may still hold a reference.
        if bytes.is_unique() {
            self.room.memory.keep(Vec::from(bytes));
        }
    }
}
