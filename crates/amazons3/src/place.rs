// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A bucket and its location: for messages, and for what errors of its requests mean.

#![forbid(unsafe_code)]

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use crate::credentials::Rotating;
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
    pub(crate) fn new(settings: &Arc<Settings>, credentials: Arc<Rotating>) -> Self {
        Self {
            text: settings.place(),
            credentials,
            settings: Arc::clone(settings),
            demands_md5: Arc::default(),
        }
    }

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
