// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The threads that the network runs on. One set per process, whatever number of volumes it mounts.

#![forbid(unsafe_code)]

use std::sync::OnceLock;

use cloudsync_store::{StoreError, block_signals, with_signals_blocked};
use tokio::runtime::{Builder, Runtime};

const WORKERS: usize = 2;

/// The process's runtime, started when first asked for: never while the host only looks at the shared object.
pub(crate) fn runtime() -> Result<&'static Runtime, StoreError> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = with_signals_blocked(|| {
        Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("glfs_csobj")
            .on_thread_start(block_signals)
            .enable_all()
            .build()
    })
    .map_err(|error| StoreError::Other(format!("cannot start threads for the network: {error}")))?;
    // When two threads come here at once, one of the two runtimes is dropped, unused.
    Ok(RUNTIME.get_or_init(|| runtime))
}
