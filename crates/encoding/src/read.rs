// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reads a range of the file that an object was made of.

use std::ops::Range;

use cloudsync_format::encoding::{Encoding, Version};
use cloudsync_store::{Archive, Object, Sink, StoreError};

use crate::decrypt::{LONGEST_HEADER, header_length};
use crate::index::{Index, Plan};
use crate::pipe::Pipe;
use crate::sinks::Collect;
use crate::store::Encoded;

/// An object up to this size in bytes is read whole, because asking for its index would cost more.
const SMALL: u64 = 256 << 10;
/// What is fetched of an object to find its header: enough for thirty recipients.
const HEADER: u64 = 4096;

/// The object as the inner store knows it.
fn inner(version: &Version<'_>) -> Object {
    Object {
        size: version.stored,
        etag: Some(version.etag.to_owned()).filter(|etag| !etag.is_empty()),
        checksum: None,
    }
}

impl<S: Archive> Encoded<S> {
    /// Passes on a range of the file, which has `size` bytes.
    pub(crate) fn decode(
        &self,
        key: &str,
        size: u64,
        version: &Version<'_>,
        range: &Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError> {
        let stored = version.stored;
        if *range == (0..size) || stored <= SMALL {
            return self.read(key, version, None, &Plan::whole(stored, range), sink);
        }
        if range.is_empty() {
            return Ok(());
        }
        let of = (key.to_owned(), version.to_string());
        let index = self
            .indexes
            .get(of, || self.index(key, size, version, sink))?;
        let plan = index.plan(stored, range)?;
        self.read(key, version, index.header.as_deref(), &plan, sink)
    }

    /// Fetches what a plan needs, and passes on what it is.
    fn read(
        &self,
        key: &str,
        version: &Version<'_>,
        header: Option<&[u8]>,
        plan: &Plan,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError> {
        let encoding = version.encoding;
        let identities = encoding.age.then(|| self.identities.get()).transpose()?;
        let mut pipe = Pipe::new(encoding, identities.as_deref(), header, plan, sink)?;
        let object = inner(version);
        self.inner
            .fetch(key, &object, plan.stored.clone(), &mut pipe)?;
        pipe.finish()
    }

    /// Fetches an object's index: its header, and then the table at its end.
    fn index(
        &self,
        key: &str,
        size: u64,
        version: &Version<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Index, StoreError> {
        let header = match version.encoding.age {
            true => Some(self.header(key, version, sink)?),
            false => None,
        };
        let mut index = Index::new(header);
        if version.encoding.zstd {
            let plan = index.table(version.stored, size)?;
            // The table itself is not compressed.
            let encoding = Encoding {
                zstd: false,
                ..version.encoding
            };
            let version = Version {
                encoding,
                ..version.clone()
            };
            let mut end = Collect::new(sink);
            self.read(key, &version, index.header.as_deref(), &plan, &mut end)?;
            let end = end.bytes;
            index.read_table(&end, size)?;
        }
        Ok(index)
    }

    fn header(
        &self,
        key: &str,
        version: &Version<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Vec<u8>, StoreError> {
        for most in [HEADER, LONGEST_HEADER as u64] {
            let mut begin = Collect::new(sink);
            let range = 0..version.stored.min(most);
            self.inner.fetch(key, &inner(version), range, &mut begin)?;
            let mut bytes = begin.bytes;
            if let Some(length) = header_length(&bytes) {
                bytes.truncate(length);
                return Ok(bytes);
            }
        }
        Err(StoreError::Corrupt("it has no header of age".to_owned()))
    }
}
