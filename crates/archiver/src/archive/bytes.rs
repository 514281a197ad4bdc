// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reads the bytes to upload, and computes their checksum.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use cloudsync_store::checksum::Algorithm;
use cloudsync_store::{Checksum, Source};

use super::outcome::{Problem, Why};

/// Files up to this size are read once, into memory; larger ones are read for the checksum and again for the upload.
const IN_MEMORY: u64 = 1 << 20;
const BUFFER: usize = 1 << 20;

/// The bytes of one file as an upload source, with their checksum.
pub(super) struct Bytes<'a> {
    file: &'a File,
    memory: Option<Vec<u8>>,
    /// Called with the number of bytes of each read; a retried upload counts them again.
    sent: &'a (dyn Fn(u64) + Sync),
    pub(super) checksum: Checksum,
}

impl<'a> Bytes<'a> {
    /// Reads `size` bytes of the file. Fails with [`Why::Changed`] if it has become shorter.
    pub(super) fn read(
        file: &'a File,
        size: u64,
        sent: &'a (dyn Fn(u64) + Sync),
    ) -> Result<Self, Problem> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Problem::Left(Why::Changed),
            _ => Problem::Io("reading it", error),
        };
        let mut computing = Algorithm::Crc64Nvme.compute();
        let length = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut buffer = vec![0; length(size.min(IN_MEMORY)).min(BUFFER)];
        let mut offset = 0;
        while offset < size {
            let piece = length((size - offset).min(buffer.len() as u64));
            file.read_exact_at(&mut buffer[..piece], offset)
                .map_err(failed)?;
            computing.update(&buffer[..piece]);
            offset += piece as u64;
        }
        Ok(Self {
            file,
            memory: (size <= IN_MEMORY).then_some(buffer),
            sent,
            checksum: computing.finish(),
        })
    }
}

impl Source for Bytes<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (self.sent)(buffer.len() as u64);
        let Some(memory) = &self.memory else {
            return self.file.read_exact_at(buffer, offset);
        };
        let begin = usize::try_from(offset).map_err(io::Error::other)?;
        let end = begin.checked_add(buffer.len());
        let bytes = end.and_then(|end| memory.get(begin..end));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
