// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Decodes an object before it is uploaded: the file's bytes are removed on the strength of it.

use cloudsync_format::encoding::Plain;
use cloudsync_store::{Sink, Source, StoreError};

use crate::encode::failed;
use crate::index::Plan;
use crate::keys::Identities;
use crate::pipe::Pipe;
use crate::sinks::Sum;
use crate::spool::Spooled;

/// The object is read in pieces of this size.
const PIECE: usize = 1 << 20;

/// Proves that the file can be made of the object, before anybody relies on it. `identities`: if it is encrypted; without
/// them this machine cannot tell.
pub(crate) fn prove(
    encoded: &Spooled,
    made_of: &Plain,
    identities: Option<&Identities>,
) -> Result<(), StoreError> {
    if made_of.encoding.age && identities.is_none() {
        return Ok(());
    }
    let plan = Plan::whole(encoded.bytes, &(0..made_of.size));
    let mut sum = Sum::like(made_of.checksum);
    let mut pipe = Pipe::new(made_of.encoding, identities, None, &plan, &mut sum)?;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < encoded.bytes {
        let length = usize::try_from(encoded.bytes - at).map_or(PIECE, |left| left.min(PIECE));
        let bytes = &mut piece[..length];
        encoded
            .read_exact_at(bytes, at)
            .map_err(|error| failed(&error))?;
        pipe.write(bytes)?;
        at += length as u64;
    }
    pipe.finish()?;
    match sum.finish() == made_of.checksum {
        true => Ok(()),
        false => Err(StoreError::Source(
            "it is another file after it was encoded and decoded".to_owned(),
        )),
    }
}
