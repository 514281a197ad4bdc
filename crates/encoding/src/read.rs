// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reads a range of the file that an object was made of, wherever the object's bytes come from.

use std::ops::Range;

use cloudsync_format::encoding::Encoding;
use cloudsync_store::{Sink, StoreError};

use crate::decrypt::{LONGEST_HEADER, header_length};
use crate::index::{Index, Plan};
use crate::keys::Identities;
use crate::pipe::Pipe;
use crate::sinks::Collect;

/// An object up to this size in bytes is read whole, because asking for its index would cost more...
const SMALL: u64 = 256 << 10;
/// ... unless it is of a larger file than this: most of a file may be zeros. It is also what a recall asks for at once.
pub(crate) const PART: u64 = 8 << 20;
/// What is fetched of an object to find its header: enough for thirty recipients.
const HEADER: u64 = 4096;

/// Passes the bytes of a range of the object to a sink.
pub(crate) type Fetch<'a> = dyn Fn(Range<u64>, &mut dyn Sink) -> Result<(), StoreError> + 'a;

/// An encoded object.
pub(crate) struct Reader<'a> {
    pub(crate) encoding: Encoding,
    /// The object's size in bytes.
    pub(crate) stored: u64,
    /// The file's size in bytes.
    pub(crate) size: u64,
    /// If it is encrypted.
    pub(crate) identities: Option<&'a Identities>,
    pub(crate) fetch: &'a Fetch<'a>,
}

impl Reader<'_> {
    /// Whether the range is read without an index.
    pub(crate) fn without_index(&self, range: &Range<u64>) -> bool {
        self.size <= PART && (*range == (0..self.size) || self.stored <= SMALL)
    }

    /// Passes on a range of the file, by reading the object from its beginning.
    pub(crate) fn whole(&self, range: &Range<u64>, sink: &mut dyn Sink) -> Result<(), StoreError> {
        self.planned(self.encoding, None, &Plan::whole(self.stored, range), sink)
    }

    /// Passes on a range of the file.
    pub(crate) fn range(
        &self,
        index: &Index,
        range: &Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError> {
        if range.is_empty() {
            return Ok(());
        }
        let plan = index.plan(self.stored, range)?;
        self.planned(self.encoding, index.header.as_deref(), &plan, sink)
    }

    /// Fetches what a plan needs, and passes on what it is.
    fn planned(
        &self,
        encoding: Encoding,
        header: Option<&[u8]>,
        plan: &Plan,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError> {
        let mut pipe = Pipe::new(encoding, self.identities, header, plan, sink)?;
        (self.fetch)(plan.stored.clone(), &mut pipe)?;
        pipe.finish()
    }

    /// Fetches the index: the header, and then the table at the end. `sink`: the one for which it is.
    pub(crate) fn index(&self, sink: &mut dyn Sink) -> Result<Index, StoreError> {
        let header = match self.encoding.age {
            true => Some(self.header(sink)?),
            false => None,
        };
        let mut index = Index::new(header);
        if self.encoding.zstd {
            let plan = index.table(self.stored, self.size)?;
            // The table itself is not compressed.
            let encoding = Encoding {
                zstd: false,
                ..self.encoding
            };
            let mut end = Collect::new(sink);
            self.planned(encoding, index.header.as_deref(), &plan, &mut end)?;
            let end = end.bytes;
            index.read_table(&end, self.stored, self.size)?;
        }
        Ok(index)
    }

    fn header(&self, sink: &mut dyn Sink) -> Result<Vec<u8>, StoreError> {
        for most in [HEADER, LONGEST_HEADER as u64] {
            let mut begin = Collect::new(sink);
            (self.fetch)(0..self.stored.min(most), &mut begin)?;
            let mut bytes = begin.bytes;
            if let Some(length) = header_length(&bytes) {
                bytes.truncate(length);
                return Ok(bytes);
            }
        }
        Err(StoreError::Corrupt("it has no header of age".to_owned()))
    }
}
