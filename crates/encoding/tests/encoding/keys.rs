// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A pair of files with keys.

use std::fs;
use std::path::PathBuf;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use tempfile::TempDir;

/// A new identity, and its recipient, in files.
pub(crate) struct Keys(TempDir);

impl Keys {
    pub(crate) fn new() -> Self {
        let keys = Self(TempDir::new().unwrap());
        let identity = Identity::generate();
        fs::write(keys.identity(), identity.to_string().expose_secret()).unwrap();
        let recipients = format!("# the volume\n{}\n", identity.to_public());
        fs::write(keys.0.path().join("recipients"), recipients).unwrap();
        keys
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.0.path().join("identity")
    }

    /// The settings `encrypt=` and `identity=`.
    pub(crate) fn settings(&self) -> String {
        let folder = self.0.path().display();
        format!("encrypt=age:{folder}/recipients,identity=file:{folder}/identity")
    }
}
