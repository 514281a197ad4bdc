// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The state that all requests share: the client, the settings and the memory limit.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use aws_sdk_s3::Client;
use cloudsync_store::network::memory::Memory;
use cloudsync_store::{Options, StoreError};

use crate::client::{Made, client};
use crate::direct::Direct;
use crate::line::Line;
use crate::place::Place;
use crate::settings::Settings;

/// A bucket, or a prefix in one.
pub struct S3 {
    pub(crate) client: Client,
    /// GETs without it.
    pub(crate) direct: Direct,
    pub(crate) settings: Arc<Settings>,
    /// The bucket and its location, for messages.
    pub(crate) place: Place,
    /// The memory limit of uploads.
    pub(crate) memory: Memory,
    /// The speed of uploads.
    pub(crate) line: Arc<Line>,
    /// The store does not support conditional requests: the settings say so, or it has reported it.
    pub(crate) unconditional: AtomicBool,
    /// How many deleted objects the bucket keeps as hidden versions.
    pub(crate) hidden: AtomicU64,
}

impl S3 {
    /// Creates a client for the bucket in the volume's options. Sends no request yet.
    pub(crate) fn new(options: &Options) -> Result<Self, StoreError> {
        let settings = Arc::new(Settings::parse(options)?);
        let Made {
            client,
            credentials,
            direct,
        } = client(&settings)?;
        let unconditional = !settings.conditional_writes;
        let place = Place::new(&settings, credentials);
        Ok(Self {
            client,
            direct,
            settings,
            place,
            memory: Memory::default(),
            line: Arc::default(),
            unconditional: AtomicBool::new(unconditional),
            hidden: AtomicU64::new(0),
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
