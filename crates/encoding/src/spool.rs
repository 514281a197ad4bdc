// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! An encoded object until it is uploaded: its size is not known before, and an upload reads it in several places at once
//! and again after an error. A small one is in memory, a larger one in a file without a name in the temporary folder.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::rc::Rc;

use cloudsync_store::checksum::{Algorithm, Computing};
use cloudsync_store::{Checksum, Source};
use tempfile::{SpooledData, SpooledTempFile, spooled_tempfile};

/// The largest object in memory, in bytes. There is one for each job of the archiver.
const IN_MEMORY: usize = 1 << 20;

/// An object that is being written.
pub(crate) struct Spool {
    to: SpooledTempFile,
    bytes: u64,
    sum: Computing,
    full: Rc<Cell<bool>>,
}

/// An object that was written.
pub(crate) struct Spooled {
    data: Data,
    /// Its size in bytes.
    pub(crate) bytes: u64,
    /// The checksum of its bytes.
    pub(crate) checksum: Checksum,
}

enum Data {
    Memory(Vec<u8>),
    File(File),
}

impl Spool {
    /// `full`: set when there is no room for it, which libraries around it may hide.
    pub(crate) fn new(full: &Rc<Cell<bool>>) -> Self {
        Self {
            full: Rc::clone(full),
            to: spooled_tempfile(IN_MEMORY),
            bytes: 0,
            sum: Algorithm::Crc64Nvme.compute(),
        }
    }

    /// The object, all of which has been written.
    pub(crate) fn finish(mut self) -> io::Result<Spooled> {
        self.to.seek(SeekFrom::Start(0))?;
        let data = match self.to.into_inner() {
            SpooledData::InMemory(cursor) => Data::Memory(cursor.into_inner()),
            SpooledData::OnDisk(file) => Data::File(file),
        };
        Ok(Spooled {
            data,
            bytes: self.bytes,
            checksum: self.sum.finish(),
        })
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.to.write(bytes).inspect_err(|error| {
            if matches!(
                error.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded
            ) {
                self.full.set(true);
            }
        })?;
        self.sum.update(&bytes[..taken]);
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Source for Spooled {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.data {
            Data::File(file) => file.read_exact_at(buffer, offset),
            Data::Memory(memory) => memory.as_slice().read_exact_at(buffer, offset),
        }
    }
}
