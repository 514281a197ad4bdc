// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reads what a file's marks say of its object, on a brick or through a mount.

use std::ffi::CStr;
use std::io;
use std::path::Path;

use cloudsync_format::record::{Kept, Record};
use cloudsync_format::{object, xattr as names};
use cloudsync_store::Checksum;

use super::text;
use crate::volume::{Kind, Target};

/// The text in an attribute of a file, if it has that.
pub(crate) fn value(at: &Path, name: &CStr) -> io::Result<Option<String>> {
    let value = xattr::get(at, text(name))?;
    Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
}

/// What was archived, as the file's marks say: of this archive or of an earlier one.
pub(crate) fn record(at: &Path) -> io::Result<Option<Record>> {
    Ok(value(at, names::RECORD)?.and_then(|text| Record::parse(&text)))
}

/// The objects that a file was archived as before bytes that no recall wrote were found in it. Only root can read them.
pub(crate) fn kept(at: &Path) -> io::Result<Vec<Kept>> {
    let value = value(at, names::KEPT)?.unwrap_or_default();
    Ok(Kept::parse(&value).collect())
}

/// The object of a cold file, from the file's marks.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    pub(crate) key: String,
    /// The object's version (its etag); empty if it was never known.
    pub(crate) version: String,
    /// The archived file's attributes; absent on files that older versions archived.
    pub(crate) record: Option<Record>,
}

impl Marks {
    /// The record, unless it is of an earlier archive.
    fn its_record(&self) -> Option<&Record> {
        let record = self.record.as_ref();
        record.filter(|record| record.is_of(self.key.as_bytes()))
    }

    /// The name of the store that has the object; `None`: the volume's own.
    pub(crate) fn store(&self) -> Option<&str> {
        self.its_record()?.store.as_deref()
    }

    /// The checksum of the archived file, if it is known and the marks are this file's.
    pub(crate) fn checksum_of(&self, gfid: &str) -> Option<Checksum> {
        let record = self.its_record()?;
        record.checksum.filter(|_| record.gfid == gfid)
    }
}

/// Reads the marks of a cold file, on a brick or through a mount; `None` if it is not cold.
pub(crate) fn marks(at: &Path) -> io::Result<Option<Marks>> {
    let Some(remote) = value(at, names::REMOTE)? else {
        return Ok(None);
    };
    // Files that the script in GlusterFS's documentation archived have only the path, as the brick knows it.
    let key = match value(at, names::KEY)? {
        Some(key) => key,
        None => remote.trim_start_matches('/').to_owned(),
    };
    let version = value(at, names::VERSION)?.unwrap_or_default();
    Ok(Some(Marks {
        key,
        version,
        record: record(at)?,
    }))
}

/// The gfid of a file of the target, as text.
pub(crate) fn gfid(target: &Target, at: &Path) -> io::Result<String> {
    let gfid = match target.kind {
        Kind::Brick => {
            let value = xattr::get(at, "trusted.gfid")?;
            value.and_then(|value| Some(object::uuid(value.try_into().ok()?)))
        }
        Kind::Mount => {
            let value = xattr::get(at, "glusterfs.gfid.string")?;
            value.and_then(|value| {
                let text = String::from_utf8(value).ok()?;
                Some(text.trim_end_matches('\0').to_owned())
            })
        }
    };
    gfid.ok_or_else(|| io::Error::other("it has no gfid"))
}
