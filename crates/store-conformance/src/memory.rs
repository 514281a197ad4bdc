// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A sink and a source in memory, for tests.

use std::io;
use std::time::Duration;

use cloudsync_store::checksum::Algorithm;
use cloudsync_store::{Checksum, Metadata, Object, Sink, Source, StoreError, Upload};

/// Bytes that differ by position and seed, so that misplaced bytes are detected.
#[must_use]
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while bytes.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Fails with a short text, because the bytes themselves are no help.
#[track_caller]
pub(crate) fn assert_same(got: &[u8], want: &[u8], what: &str) {
    if got == want {
        return;
    }
    let first = got.iter().zip(want).position(|(a, b)| a != b);
    panic!(
        "{what}: {} bytes instead of {}, first difference at {first:?}",
        got.len(),
        want.len()
    );
}

/// A sink that keeps its bytes.
#[derive(Default)]
pub struct Memory {
    /// The bytes written so far.
    pub bytes: Vec<u8>,
    /// Cancels after this number of bytes.
    pub enough: Option<usize>,
    /// Fails with [`StoreError::Sink`] and ENOSPC before it exceeds this number of bytes.
    pub full: Option<usize>,
    /// How long to sleep once, in the first write.
    pub pause: Duration,
    /// Called once, after the first write.
    pub after_first: Option<Box<dyn FnOnce() + Send>>,
    /// The object's description, if the store gave one.
    pub described: Option<Object>,
    /// Number of calls of `write` after one that failed.
    pub calls_after_error: usize,
    #[doc(hidden)]
    pub failed: bool,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Memory({} bytes)", self.bytes.len())
    }
}

impl Memory {
    fn answer(&mut self, error: StoreError) -> Result<(), StoreError> {
        self.failed = true;
        Err(error)
    }
}

impl Sink for Memory {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.calls_after_error += usize::from(self.failed);
        if self.cancelled() {
            return self.answer(StoreError::Cancelled);
        }
        if self
            .full
            .is_some_and(|full| self.bytes.len() + bytes.len() > full)
        {
            return self.answer(StoreError::Sink(28));
        }
        std::thread::sleep(std::mem::take(&mut self.pause));
        self.bytes.extend_from_slice(bytes);
        if let Some(act) = self.after_first.take() {
            act();
        }
        Ok(())
    }

    fn cancelled(&self) -> bool {
        self.enough.is_some_and(|enough| self.bytes.len() >= enough)
    }

    fn describe(&mut self, object: &Object) {
        // Described again by a request that continues an interrupted one.
        if self.described.is_none() {
            assert!(self.bytes.is_empty(), "described after its first bytes");
        }
        self.described = Some(object.clone());
    }
}

/// A source of bytes in memory.
#[derive(Clone, Debug)]
pub struct Bytes {
    bytes: Vec<u8>,
    kept: Metadata,
    checksum: Checksum,
    /// Reads of bytes from this offset on fail.
    pub broken_from: Option<u64>,
}

impl Bytes {
    /// A source with the correct checksum of its bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        let checksum = Algorithm::Crc64Nvme.of(&bytes);
        Self {
            bytes,
            kept: Metadata::new(),
            checksum,
            broken_from: None,
        }
    }

    /// Adds an item of metadata.
    #[must_use]
    pub fn keeping(mut self, name: &str, value: &str) -> Self {
        self.kept.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Replaces the checksum by that of other bytes.
    #[must_use]
    pub fn with_checksum_of(mut self, bytes: &[u8]) -> Self {
        self.checksum = Algorithm::Crc64Nvme.of(bytes);
        self
    }

    /// The checksum of the upload.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// The upload to pass to a store.
    #[must_use]
    pub fn upload(&self) -> Upload<'_> {
        Upload {
            size: self.bytes.len() as u64,
            checksum: self.checksum,
            metadata: &self.kept,
            source: self,
            rate: None,
            resumable: true,
        }
    }
}

impl Source for Bytes {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset + buffer.len() as u64;
        if self.broken_from.is_some_and(|broken| end > broken) {
            return Err(io::Error::other("broken on purpose"));
        }
        let range = usize::try_from(offset).unwrap()..usize::try_from(end).unwrap();
        let bytes = self.bytes.get(range).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}
