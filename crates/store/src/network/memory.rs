// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the uploads of a store may hold of memory, and the buffers for it.
//!
//! Buffers are used again: an allocator that is given back pieces of this size by one thread and asked for them by the
//! next keeps some for each, and a program that may hold 128 MiB comes to twice that.

#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::checksum::Algorithm;
use crate::{Checksum, Source, StoreError};

/// Bytes of all uploads in flight.
const MOST: usize = 128 << 20;

/// What bounds the uploads of a store.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    room: Arc<Semaphore>,
    spare: Mutex<Vec<Vec<u8>>>,
}

/// Room for a piece of a file.
#[derive(Debug)]
pub struct Room {
    memory: Memory,
    size: usize,
    _permit: OwnedSemaphorePermit,
}

/// A piece of a file, in memory.
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
    /// Waits until there is room for so many bytes.
    ///
    /// # Errors
    /// None that happens: the semaphore is never closed.
    pub async fn take(&self, size: u64) -> Result<Room, StoreError> {
        let size = usize::try_from(size).map_err(|error| StoreError::Other(error.to_string()))?;
        // A part of a huge file may be larger than everything: it goes alone.
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

    /// A buffer of that length, of which nobody knows what is in it.
    fn buffer(&self, size: usize) -> Vec<u8> {
        let mut spare = self.spare();
        let fits = |buffer: &Vec<u8>| (size..=size.saturating_mul(2)).contains(&buffer.capacity());
        let found = spare.iter().position(fits);
        let mut buffer = found.map_or_else(Vec::new, |at| spare.swap_remove(at));
        // What is in use and what is kept together are no more than what may be in use.
        let used = MOST - (self.0.room.available_permits() << 10).min(MOST);
        while used + spare.iter().map(Vec::capacity).sum::<usize>() > MOST {
            spare.pop();
        }
        drop(spare);
        buffer.resize(size, 0);
        buffer
    }

    fn keep(&self, buffer: Vec<u8>) {
        // Small ones are the allocator's business.
        if buffer.capacity() >= 1 << 20 {
            self.spare().push(buffer);
        }
    }
}

impl Room {
    /// Fills it with the bytes from `offset` on, and sums them up.
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
    /// For the body of a request; copies nothing.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // A connection that was given up may still hold it.
        if bytes.is_unique() {
            self.room.memory.keep(Vec::from(bytes));
        }
    }
}
