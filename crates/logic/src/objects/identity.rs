// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Identifies the object of a cold file, from the file's marks on the bricks.

#![forbid(unsafe_code)]

use std::ffi::CString;
use std::ops::Range;

use cloudsync_format::checksum::Checksum;
use cloudsync_format::holes::Holes;

use crate::errno::Failure;
use crate::sizes::PIECE;
use crate::status::{Attributes, Status};

/// Identifies one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its key.
    pub key: CString,
    /// The version that was archived, if it is known.
    pub version: Option<CString>,
    /// Its size in bytes, equal to the file's.
    pub size: u64,
    /// The checksum of the file when it was archived, if its record has one. A version with this checksum and size is
    /// accepted, even if it is not [`Self::version`].
    pub checksum: Option<Checksum>,
    /// What the record says of the file's holes.
    holes: Holes,
}

impl Identity {
    /// Identifies the object of a cold file.
    ///
    /// # Errors
    /// [`Failure::Damaged`].
    pub fn of<A: Attributes>(status: &Status<A>) -> Result<Self, Failure> {
        let text =
            |bytes: &[u8], otherwise| CString::new(bytes).map_err(|_| Failure::Damaged(otherwise));
        let key = status.key.as_ref().filter(|_| !status.archived_by_us);
        let key = key
            .or(status.remote.as_ref())
            .filter(|key| !key.is_empty())
            .ok_or(Failure::Damaged("it has no object key"))?;
        let version = status
            .version
            .as_ref()
            .map(|version| text(version, "its version has a NUL"));
        Ok(Self {
            key: text(key, "its object key has a NUL")?,
            version: version.transpose()?,
            size: status.attributes.size(),
            checksum: status.record.as_ref().and_then(|record| record.checksum),
            holes: status
                .record
                .as_ref()
                .map(|record| record.holes.clone())
                .unwrap_or_default(),
        })
    }

    /// The holes, in order, that a recall of the first `size` bytes need not fetch, because it proves afterwards that they
    /// were: it compares the checksum of the whole file, with zeros for them. So there are none without a checksum, or if
    /// less than the whole file is recalled; nor in a file that is recalled in one piece.
    #[must_use]
    pub fn provable_holes(&self, size: u64) -> Vec<Range<u64>> {
        if size != self.size || size <= PIECE || self.checksum.is_none() {
            return Vec::new();
        }
        self.holes.in_file(size)
    }

    /// How many bytes a recall of the first `size` bytes fetches: those in no provable hole.
    #[must_use]
    pub fn data(&self, size: u64) -> u64 {
        let holes = self.provable_holes(size);
        size - holes.iter().map(|hole| hole.end - hole.start).sum::<u64>()
    }
}
