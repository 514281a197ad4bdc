// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Which object a cold file is, by what the bricks say of it.

#![forbid(unsafe_code)]

use std::ffi::CString;

use cloudsync_format::checksum::Checksum;

use crate::errno::Failure;
use crate::status::{Attributes, Status};

/// Which object it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its key.
    pub key: CString,
    /// Its only version that will do, if that is known.
    pub version: Option<CString>,
    /// Its size in bytes, which is the file's.
    pub size: u64,
    /// The checksum of the file when it was archived, if its record has one. What has it, and the size, is the object,
    /// whatever its version.
    pub checksum: Option<Checksum>,
}

impl Identity {
    /// The object that a cold file is.
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
        })
    }
}
