// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the lab remembers of each FUSE client, also when its mount hangs.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// What the lab remembers of a client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) volume: String,
    /// Mount point and log as the lab sees them.
    pub(crate) point: PathBuf,
    pub(crate) log: PathBuf,
    /// Pid here and in the lab.
    pub(crate) pid: u32,
    pub(crate) inner: u32,
    /// Whether its state was printed already.
    pub(crate) told: AtomicBool,
}
