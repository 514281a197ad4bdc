// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Decodes an object before it is uploaded, as a recall will: the file's bytes are removed on the strength of it.

use std::ops::Range;

use cloudsync_format::encoding::Encoding;
use cloudsync_store::{Checksum, Sink, Source, StoreError};

use crate::encode::failed;
use crate::keys::Identities;
use crate::read::{PART, Reader};
use crate::sinks::Sum;
use crate::spool::Spooled;

/// The object is read in pieces of this size.
const PIECE: u64 = 1 << 20;

/// Proves that the file can be made of the object: one of `size` bytes with that checksum. `identities`: if it is encrypted.
pub(crate) fn prove(
    encoded: &Spooled,
    encoding: Encoding,
    size: u64,
    checksum: Checksum,
    identities: Option<&Identities>,
) -> Result<(), StoreError> {
    let fetch = |range, sink: &mut dyn Sink| copy(encoded, range, sink);
    let reader = Reader {
        encoding,
        stored: encoded.bytes,
        size,
        identities,
        fetch: &fetch,
    };
    let mut sum = Sum::like(checksum);
    let all = 0..size;
    if reader.without_index(&all) {
        reader.whole(&all, &mut sum)?;
    } else {
        let index = reader.index(&mut sum)?;
        let mut at = 0;
        while at < size {
            let end = size.min(at + PART);
            reader.range(&index, &(at..end), &mut sum)?;
            at = end;
        }
    }
    match sum.finish() == checksum {
        true => Ok(()),
        false => Err(StoreError::Source(
            "it is another file after it was encoded and decoded".to_owned(),
        )),
    }
}

fn copy(encoded: &Spooled, range: Range<u64>, sink: &mut dyn Sink) -> Result<(), StoreError> {
    let mut piece = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let length = PIECE.min(range.end - at);
        piece.resize(usize::try_from(length).unwrap_or(0), 0);
        encoded
            .read_exact_at(&mut piece, at)
            .map_err(|error| failed(&error))?;
        sink.write(&piece)?;
        at += length;
    }
    Ok(())
}
