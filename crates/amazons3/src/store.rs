// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Implements the SDK's traits `Store` and `Archive`. The calling thread waits for each request.

#![forbid(unsafe_code)]

use std::ops::{ControlFlow, Range};
use std::sync::atomic::Ordering;
use std::time::Duration;

use cloudsync_store::network::{Circle, in_pages, runtime};
use cloudsync_store::restores::{Restored, Restores, Wanted};
use cloudsync_store::{
    Archive, Listed, Metadata, Object, Options, Sink, Store, StoreError, Upload,
};

use crate::fetch::fetch;
use crate::head::{class, describe, head};
use crate::list;
use crate::put::put;
use crate::restore::{Watched, bulk, restore};
use crate::s3::S3;
use crate::versions;

/// The name of the runtime's threads.
const THREADS: &str = "glfs_css3";

impl Store for S3 {
    fn open(options: &Options) -> Result<Self, StoreError> {
        // The SDK looks for a runtime when a client is made.
        let _entered = runtime(THREADS)?.enter();
        Self::new(options)
    }

    fn head(&self, key: &str) -> Result<Object, StoreError> {
        runtime(THREADS)?.block_on(head(self, key))
    }

    fn fetch(
        &self,
        key: &str,
        object: &Object,
        range: Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError> {
        let runtime = runtime(THREADS)?;
        let began = false;
        let mut sink = Watched { sink, began };
        match runtime.block_on(fetch(self, key, object, range.clone(), &mut sink)) {
            // If the copy expires after bytes were passed on, the reader gets the error and must retry.
            Err(refusal @ StoreError::Archived(_)) if !sink.began => {
                runtime.block_on(restore(self, key, refusal, &mut sink))?;
                runtime.block_on(fetch(self, key, object, range, &mut sink))
            }
            result => result,
        }
    }
}

impl Archive for S3 {
    fn put(&self, key: &str, upload: &Upload<'_>) -> Result<Object, StoreError> {
        runtime(THREADS)?.block_on(put(self, key, upload))
    }

    fn describe(&self, key: &str) -> Result<(Object, Metadata), StoreError> {
        runtime(THREADS)?.block_on(describe(self, key))
    }

    fn class(&self, key: &str) -> Result<Option<String>, StoreError> {
        runtime(THREADS)?.block_on(class(self, key)).map(Some)
    }

    fn restores(&self) -> Option<&dyn Restores> {
        Some(self)
    }

    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut circle = Circle::default();
        let page = |token| runtime(THREADS)?.block_on(list::page(self, prefix, token, &mut circle));
        in_pages(page, each)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        let runtime = runtime(THREADS)?;
        if self.settings.delete_versions {
            runtime.block_on(versions::delete(self, key))
        } else {
            runtime.block_on(list::delete(self, key))
        }
    }

    fn delete_all(&self, keys: &[&str]) -> Vec<(String, StoreError)> {
        let one = |key: &&str| Some(((*key).to_owned(), self.delete(key).err()?));
        // The request is XML, in which a key with other characters could turn into another key.
        let plain = |key: &&str| key.chars().all(|c| matches!(c, ' '..='~'));
        let failed = match runtime(THREADS) {
            Ok(runtime) if keys.iter().all(plain) && !self.settings.delete_versions => {
                runtime.block_on(list::delete_all(self, keys))
            }
            _ => return keys.iter().filter_map(one).collect(),
        };
        // Some servers cannot delete several objects, or not with the checksum that the SDK sends. What else they refuse,
        // they refuse again, with a better reason.
        let again = failed.iter().map(|(key, _)| key.as_str());
        again.filter_map(|key| one(&key)).collect()
    }

    fn hidden(&self) -> u64 {
        self.hidden.load(Ordering::Relaxed)
    }

    fn unfinished(
        &self,
        prefix: &str,
        age: Duration,
        remove: bool,
    ) -> Result<Vec<String>, StoreError> {
        runtime(THREADS)?.block_on(list::unfinished(self, prefix, age, remove))
    }
}

impl Restores for S3 {
    fn restore(&self, key: &str, wanted: Option<&Wanted>) -> Result<Restored, StoreError> {
        runtime(THREADS)?.block_on(bulk::restore(self, key, wanted))
    }
}
