// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A store that panics where `cloudsync-store-id panic=open|head|fetch` says. Without that, every object is empty. It
//! logs the requests that it gets.

use std::ops::Range;

use cloudsync_store::{Object, Options, Sink, Store, StoreError, log};

/// See the module.
#[derive(Debug)]
pub struct Panics {
    place: Option<String>,
}

impl Panics {
    fn here(&self, place: &str) {
        assert!(
            self.place.as_deref() != Some(place),
            "on purpose, in {place}"
        );
    }
}

impl Store for Panics {
    fn open(options: &Options) -> Result<Self, StoreError> {
        let place = options.settings("cloudsync-store-id", |list| Ok(list.text("panic")))?;
        log::warn!("asked to panic in {place:?}");
        log::trace!("the whole request, secrets and all");
        let store = Self { place };
        store.here("open");
        Ok(store)
    }

    fn head(&self, key: &str) -> Result<Object, StoreError> {
        log::info!("asked for {key:?}\0");
        log::debug!("nobody wants to know");
        self.here("head");
        Ok(Object {
            size: 1000,
            ..Object::default()
        })
    }

    fn fetch(
        &self,
        _key: &str,
        _object: &Object,
        range: Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError> {
        sink.write(&vec![0; usize::try_from(range.end).unwrap_or(0) / 2])?;
        self.here("fetch");
        Ok(())
    }
}

cloudsync_store::export_store!(Panics);
