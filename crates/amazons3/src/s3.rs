// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The state that all requests share: the client, the settings and the memory limit.

#![forbid(unsafe_code)]

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aws_sdk_s3::Client;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cloudsync_store::network::memory::Memory;
use cloudsync_store::{Options, StoreError};
use md5::{Digest, Md5};

use crate::client::{Made, client};
use crate::credentials::Rotating;
use crate::direct::Direct;
use crate::line::Line;
use crate::settings::{Sent, Settings};

/// The bucket and its location, for messages, with the credentials for it and the settings that errors may name.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    text: String,
    pub(crate) credentials: Arc<Rotating>,
    pub(crate) settings: Arc<Settings>,
    /// The store has refused an upload because it had no checksum that it knows.
    demands_md5: Arc<AtomicBool>,
}

impl Place {
    /// The value of Content-MD5 for a request with these bytes, if requests to this place carry it.
    pub(crate) fn content_md5(&self, bytes: &[u8]) -> Option<String> {
        let carried = match self.settings.checksum {
            Sent::Md5 => true,
            Sent::Auto => self.demands_md5.load(Ordering::Relaxed),
            Sent::Crc(_) | Sent::None => false,
        };
        carried.then(|| STANDARD.encode(Md5::digest(bytes)))
    }

    /// The store demands a checksum. Returns whether uploads carry one from now on.
    pub(crate) fn demand_md5(&self) -> bool {
        self.demands_md5.store(true, Ordering::Relaxed);
        self.settings.checksum == Sent::Auto
    }
}

impl Deref for Place {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

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
        let text = settings.place();
        let place = Place {
            text,
            credentials,
            settings: Arc::clone(&settings),
            demands_md5: Arc::default(),
        };
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
