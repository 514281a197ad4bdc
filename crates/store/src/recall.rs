// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A recall from the plugin's side: the whole object, proven, into the volume; or an error and no promise about what
//! the volume got.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::acks::Acks;
use crate::writer::{Volume, Writer};
use crate::{Store, StoreError};
use cloudsync_format::checksum::Checksum;

/// What a file is, as the volume remembers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Of the object.
    pub(crate) key: &'a str,
    /// Bytes.
    pub(crate) size: u64,
    /// The object's etag when the file was archived, if it is known.
    pub(crate) version: Option<&'a str>,
}

/// Brings an object into `volume`. Returns when no write is under way any more.
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
        let why = format!("it is version {now}, the file was archived as {version}");
        return Err(StoreError::Changed(why));
    }
    if object.size != size {
        let stored = object.size;
        return Err(StoreError::Corrupt(format!(
            "it has {stored} bytes, the file has {size}"
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
    // A refused write is why the rest went wrong, whatever the store made of it.
    acks.wait().map_err(StoreError::Sink)?;
    proven
}

/// Even when the store panics, nobody may free the frame while a write is on its way.
struct Settled<'a>(&'a Acks);

impl Drop for Settled<'_> {
    fn drop(&mut self) {
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests;
