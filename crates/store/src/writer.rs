// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Collects received chunks into writes of full size, and verifies size and checksum.

#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;

use crate::acks::Acks;
use crate::{Sink, StoreError};
use cloudsync_format::checksum::Running;

/// Size of a write in bytes; the last one may be shorter. GlusterFS's transports carry no larger one without splitting
/// it.
pub(crate) const WRITE_SIZE: usize = 1 << 20;

/// The volume, or a stand-in in tests.
pub(crate) trait Volume {
    /// Memory that a write passes to the volume.
    type Buffer: Buffer;

    /// A buffer of at least `size` bytes; the error is an errno.
    fn buffer(&self, size: usize) -> Result<Self::Buffer, i32>;

    /// Sends the first `size` bytes of `buffer`. Calls [`Acks::end`] once it is answered, on any thread and perhaps
    /// before this returns; not after an error, which is an errno. May block.
    fn write(
        &self,
        buffer: Self::Buffer,
        size: usize,
        offset: u64,
        acks: &Arc<Acks>,
    ) -> Result<(), i32>;

    /// Whether the bytes are no longer needed.
    fn cancelled(&self) -> bool;
}

/// Memory that is filled piece by piece.
pub(crate) trait Buffer {
    /// Copies `bytes` to `at`. The caller stays within the requested size.
    fn put(&mut self, at: usize, bytes: &[u8]);
}

struct Filling<B> {
    buffer: B,
    filled: usize,
    size: usize,
}

/// The sink of one range.
pub(crate) struct Writer<'v, V: Volume> {
    volume: &'v V,
    acks: Arc<Acks>,
    filling: Option<Filling<V::Buffer>>,
    checksum: Option<Running>,
    range: Range<u64>,
    received: u64,
    sent: u64,
}

impl<'v, V: Volume> Writer<'v, V> {
    /// A sink for the bytes `range` of a file. `checksum`, if any, is of exactly these bytes.
    pub(crate) fn new(
        volume: &'v V,
        acks: &Arc<Acks>,
        range: Range<u64>,
        checksum: Option<Running>,
    ) -> Self {
        let acks = Arc::clone(acks);
        Self {
            volume,
            acks,
            filling: None,
            checksum,
            range,
            received: 0,
            sent: 0,
        }
    }

    const fn length(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn send(&mut self, filling: Filling<V::Buffer>) -> Result<(), StoreError> {
        let offset = self.range.start + self.sent;
        self.sent += filling.size as u64;
        self.acks.begin().map_err(StoreError::Sink)?;
        self.volume
            .write(filling.buffer, filling.size, offset, &self.acks)
            .map_err(|errno| {
                self.acks.end(Err(errno));
                StoreError::Sink(errno)
            })
    }

    /// Call when the store has sent the range. Succeeds only if every byte arrived and the checksum matches;
    /// [`Acks::wait`] reports whether the volume took them.
    pub(crate) fn finish(self) -> Result<(), StoreError> {
        if self.received != self.length() {
            let (received, length) = (self.received, self.length());
            return Err(StoreError::Corrupt(format!(
                "only {received} of {length} bytes arrived"
            )));
        }
        self.checksum
            .map_or(Ok(()), Running::finish)
            .map_err(|mismatch| StoreError::Corrupt(mismatch.to_string()))
    }
}

impl<V: Volume> Sink for Writer<'_, V> {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        if self.cancelled() {
            return Err(StoreError::Cancelled);
        }
        self.received += bytes.len() as u64;
        if self.received > self.length() {
            let length = self.length();
            return Err(StoreError::Corrupt(format!(
                "more than {length} bytes arrived"
            )));
        }
        if let Some(checksum) = &mut self.checksum {
            checksum.update(bytes);
        }
        while !bytes.is_empty() {
            let mut filling = match self.filling.take() {
                Some(filling) => filling,
                None => {
                    let left = usize::try_from(self.length() - self.sent).unwrap_or(usize::MAX);
                    let size = left.min(WRITE_SIZE);
                    let buffer = self.volume.buffer(size).map_err(StoreError::Sink)?;
                    Filling {
                        buffer,
                        filled: 0,
                        size,
                    }
                }
            };
            let (now, later) = bytes.split_at(bytes.len().min(filling.size - filling.filled));
            filling.buffer.put(filling.filled, now);
            filling.filled += now.len();
            bytes = later;
            if filling.filled == filling.size {
                self.send(filling)?;
            } else {
                self.filling = Some(filling);
            }
        }
        Ok(())
    }

    fn cancelled(&self) -> bool {
        self.volume.cancelled()
    }
}
