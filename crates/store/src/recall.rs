// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The plugin's part of a recall: writes the whole object to the volume and verifies it. After an error, the volume's
//! content is undefined.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::acks::Acks;
use crate::writer::{Volume, Writer};
use crate::{Store, StoreError};
use cloudsync_format::checksum::Checksum;

/// The file to recall, according to its marks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The object's key.
    pub(crate) key: &'a str,
    /// The file's size in bytes.
    pub(crate) size: u64,
    /// The object's etag when the file was archived, if known.
    pub(crate) version: Option<&'a str>,
}

/// Writes an object to `volume`. Returns after the last write has been acknowledged, even on an error.
pub(crate) fn recall<S: Store, V: Volume>(
    store: &S,
    volume: &V,
    wanted: Wanted<'_>,
) -> Result<(), StoreError> {
    if volume.cancelled() {
        return Err(StoreError::Cancelled);
    }
    let Wanted { key, size, version } = wanted;
    let object = store.head(key)?;
    if let (Some(version), Some(now)) = (version, &object.etag)
        && version != now
    {
        let why = format!("it is version {now}, but the file was archived as {version}");
        return Err(StoreError::Changed(why));
    }
    if object.size != size {
        let stored = object.size;
        return Err(StoreError::Corrupt(format!(
            "it has {stored} bytes, but the file has {size}"
        )));
    }
    let acks = Arc::new(Acks::default());
    let _settled = Settled(&acks);
    let mut writer = Writer::new(
        volume,
        &acks,
        0..size,
        object.checksum.map(Checksum::verify),
    );
    let fetched = if size == 0 {
        Ok(())
    } else {
        store.fetch(key, &object, 0..size, &mut writer)
    };
    let proven = fetched.and_then(|()| writer.finish());
    // A failed write caused the store's error, whatever that was.
    acks.wait().map_err(StoreError::Sink)?;
    proven
}

/// Waits for the writes in flight even if the store panics: until then the frame must not be freed.
struct Settled<'a>(&'a Acks);

impl Drop for Settled<'_> {
    fn drop(&mut self) {
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests;
