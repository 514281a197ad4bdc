// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The bucket and the client for it, which every request uses.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::atomic::AtomicBool;

use aws_sdk_s3::Client;
use cloudsync_store::network::memory::Memory;
use cloudsync_store::{Options, StoreError};

use crate::client::client;
use crate::settings::Settings;

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

impl S3 {
    /// A client for the bucket that the volume's options name. Sends nothing yet.
    pub(crate) async fn new(options: &Options) -> Result<Self, StoreError> {
        let settings = Settings::parse(options)?;
        let client = client(&settings).await?;
        let place = settings.place();
        Ok(Self {
            client,
            settings,
            place,
            memory: Memory::default(),
            unconditional: AtomicBool::new(false),
        })
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
