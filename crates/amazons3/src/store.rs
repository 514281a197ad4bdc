// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store: a client, and the thread of each call waiting for it.

#![forbid(unsafe_code)]

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aws_sdk_s3::Client;
use cloudsync_store::network::memory::Memory;
use cloudsync_store::network::{Circle, in_pages, runtime};
use cloudsync_store::{
    Archive, Listed, Metadata, Object, Options, Sink, Store, StoreError, Upload,
};

use crate::client::client;
use crate::fetch::fetch;
use crate::head::{describe, head};
use crate::list;
use crate::put::put;
use crate::restore::{Watched, restore};
use crate::settings::Settings;

/// What the client's threads are called.
const THREADS: &str = "glfs_css3";

/// A bucket, or a part of one.
pub struct S3 {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    /// Where that is, for messages.
    pub(crate) place: String,
    /// What uploads may hold.
    pub(crate) memory: Memory,
    /// The store has said that it knows no conditional requests.
    pub(crate) unconditional: AtomicBool,
}

impl Store for S3 {
    fn open(options: &Options) -> Result<Self, StoreError> {
        let settings = Settings::parse(options)?;
        let client = runtime(THREADS)?.block_on(client(&settings))?;
        let place = settings.place();
        Ok(Self {
            client,
            settings,
            place,
            memory: Memory::default(),
            unconditional: AtomicBool::new(false),
        })
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
            // A copy may also expire in the middle, and then the reader has to begin anew.
            Err(refusal @ StoreError::Archived(_)) if !sink.began => {
                runtime.block_on(restore(self, key, refusal, &sink))?;
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
        runtime(THREADS)?.block_on(list::delete(self, key))
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

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
