// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Proves that two stores are two places. If they were one, under two names, then what one of them does not need would be the
//! only copy of what the other one does.

use cloudsync_format::stores;
use cloudsync_store::checksum::Algorithm;
use cloudsync_store::{Metadata, StoreError, Upload};

use super::{Stores, probe_key};
use crate::exit::Error;
use crate::volume::Volume;

/// Puts an object into the store of this name, and looks for it in the others.
///
/// # Errors
/// It is found, or that cannot be told.
pub(crate) fn from_others(
    volume: &Volume,
    all: &Stores,
    name: Option<&str>,
    others: &[Option<String>],
) -> Result<(), Error> {
    let shown = stores::shown(name);
    let others: Vec<_> = others
        .iter()
        .map(Option::as_deref)
        .filter(|other| *other != name)
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    let cannot = |store: &str, why: &dyn std::fmt::Display| {
        let what = "that its stores are different places";
        Error::Start(format!(
            "volume {}: {what} cannot be proven: store '{store}': {why}",
            volume.name
        ))
    };
    let here = all.of(name).map_err(|why| cannot(shown, &why))?;
    let key = probe_key(volume);
    let bytes = key.as_bytes();
    let upload = Upload {
        size: bytes.len() as u64,
        checksum: Algorithm::Crc64Nvme.of(bytes),
        metadata: &Metadata::new(),
        source: &bytes,
        rate: None,
        resumable: false,
    };
    here.put(&key, &upload)
        .map_err(|error| cannot(shown, &error))?;
    let looked = others.iter().try_for_each(|other| {
        let shown_other = stores::shown(*other);
        let there = all.of(*other).map_err(|why| cannot(shown_other, &why))?;
        match there.head(&key) {
            Err(StoreError::Missing(_)) => Ok(()),
            Err(error) => Err(cannot(shown_other, &error)),
            Ok(_) => Err(Error::Start(format!(
                "volume {}: the stores '{shown}' and '{shown_other}' are one place: what one of them does not need may be the \
                 other's only copy; give each a bucket or a prefix of its own",
                volume.name
            ))),
        }
    });
    if let Err(error) = here.delete(&key) {
        tracing::warn!(
            "store '{shown}': the object {key}, which was put to tell stores apart, cannot be removed: {error}"
        );
    }
    looked
}
