// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reads the bytes to upload, and computes their checksum. Holes are not read; their zeros are uploaded like any bytes.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;

use cloudsync_store::checksum::Algorithm;
use cloudsync_store::{Checksum, Source};

use super::outcome::{Problem, Why};
use super::sparse::{Way, add_zeros, holes, is_sparse, split};

/// Files up to this size are read once, into memory; larger ones are read for the checksum and again for the upload.
const IN_MEMORY: u64 = 1 << 20;
const BUFFER: usize = 1 << 20;

/// The bytes of one file as an upload source, with their checksum.
pub(super) struct Bytes<'a> {
    file: &'a File,
    memory: Option<Vec<u8>>,
    /// Holes of a file that is not in memory, in bytes and in order.
    pub(super) holes: Vec<Range<u64>>,
    /// Called with the number of bytes of each read; a retried upload counts them again.
    sent: &'a (dyn Fn(u64) + Sync),
    pub(super) checksum: Checksum,
}

impl<'a> Bytes<'a> {
    /// Reads the file, whose attributes were `data` before. Fails with [`Why::Changed`] if it has become shorter.
    pub(super) fn read(
        file: &'a File,
        data: &Metadata,
        way: Way,
        sent: &'a (dyn Fn(u64) + Sync),
    ) -> Result<Self, Problem> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Problem::Left(Why::Changed),
            _ => Problem::Io("reading it", error),
        };
        let size = data.len();
        let length = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut buffer = vec![0; length(size.min(IN_MEMORY)).min(BUFFER)];
        let in_memory = size <= IN_MEMORY;
        let looks = |wanted| way == wanted && !in_memory && is_sparse(data);
        let mut found = match looks(Way::Ask) {
            true => holes(file, data),
            false => Vec::new(),
        };
        let algorithm = Algorithm::Crc64Nvme;
        let mut sum = algorithm.of(&[]);
        for (part, is_hole) in split(&found, 0..size) {
            let bytes = part.end - part.start;
            if is_hole {
                sum = sum.then(algorithm.of_zeros(bytes), bytes);
                continue;
            }
            let mut computing = algorithm.compute();
            let mut offset = part.start;
            while offset < part.end {
                let piece = length((part.end - offset).min(buffer.len() as u64));
                file.read_exact_at(&mut buffer[..piece], offset)
                    .map_err(failed)?;
                computing.update(&buffer[..piece]);
                if looks(Way::Read) {
                    add_zeros(&mut found, &buffer[..piece], offset);
                }
                offset += piece as u64;
            }
            sum = sum.then(computing.finish(), bytes);
        }
        Ok(Self {
            file,
            memory: in_memory.then_some(buffer),
            holes: found,
            sent,
            checksum: sum,
        })
    }
}

impl Source for Bytes<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (self.sent)(buffer.len() as u64);
        let Some(memory) = &self.memory else {
            for (part, is_hole) in split(&self.holes, offset..offset + buffer.len() as u64) {
                let index = |at: u64| usize::try_from(at - offset).unwrap_or(usize::MAX);
                let piece = &mut buffer[index(part.start)..index(part.end)];
                match is_hole {
                    true => piece.fill(0),
                    false => self.file.read_exact_at(piece, part.start)?,
                }
            }
            return Ok(());
        };
        memory.as_slice().read_exact_at(buffer, offset)
    }
}
