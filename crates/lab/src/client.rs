// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The lab's record of each FUSE client, which can be used while its mount hangs.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// A FUSE client of the lab.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) volume: String,
    /// Mount point and log, as paths in the lab.
    pub(crate) point: PathBuf,
    pub(crate) log: PathBuf,
    /// Pids outside and inside the lab.
    pub(crate) pid: u32,
    pub(crate) inner: u32,
    /// Whether its state has been printed.
    pub(crate) reported: AtomicBool,
}
