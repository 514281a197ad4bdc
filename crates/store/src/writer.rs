// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! From chunks as the network has them to writes as a volume likes them, with the proof on the way.

#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;

use crate::acks::Acks;
use crate::{Sink, StoreError};
use cloudsync_format::checksum::Running;

/// Bytes of a write; the last one may be shorter. As large as GlusterFS's transports carry without splitting.
pub(crate) const WRITE_SIZE: usize = 1 << 20;

/// The volume, or in tests what stands for it.
pub(crate) trait Volume {
    /// Memory that a write hands to the volume.
    type Buffer: Buffer;

    /// A buffer of at least `size` bytes.
    fn buffer(&self, size: usize) -> Result<Self::Buffer, i32>;

    /// Sends the first `size` bytes of `buffer`. Calls [`Acks::end`] once it came back, on any thread and perhaps before
    /// this returns; an error means that it will not. May block.
    fn write(
        &self,
        buffer: Self::Buffer,
        size: usize,
        offset: u64,
        acks: &Arc<Acks>,
    ) -> Result<(), i32>;

    /// Whether nobody wants the bytes any more.
    fn cancelled(&self) -> bool;
}

/// Memory that can be filled in pieces.
pub(crate) trait Buffer {
    /// Copies `bytes` to `at`. The caller stays inside the size it asked for.
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
    /// For the bytes `range` of a file. `checksum`, if any, is of exactly these bytes.
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

    /// The range is complete, as the store says. True only if every byte of it came and the checksum agrees; that the
    /// volume took them is [`Acks::wait`]'s to say.
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
