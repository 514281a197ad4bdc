// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! For stores whose client is asynchronous: the threads that it runs on, how a call waits for it, and what stores on a
//! network have in common.

#![forbid(unsafe_code)]

mod failure;
pub mod memory;
mod paging;
mod text;
pub mod upload;

use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::{Sink, StoreError, block_signals, with_signals_blocked};
pub use failure::{Failure, persist};
pub use paging::{Circle, in_pages};
pub use text::{decode_text, encode_text};

/// Threads. They decrypt and parse; the copying to the volume is done by the thread of each recall.
const WORKERS: usize = 2;
/// How often to look, while waiting for the store, whether somebody still wants the bytes.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The runtime, started when first asked for: never while the host only looks at the shared object. One set of threads
/// for each plugin, whatever number of volumes the process mounts: the host never takes a translator down when it
/// switches graphs. `name` is what the threads are called; at most 15 characters.
///
/// # Errors
/// [`StoreError::Other`]: no threads to be had.
pub fn runtime(name: &'static str) -> Result<&'static Runtime, StoreError> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = with_signals_blocked(|| {
        Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name(name)
            .on_thread_start(block_signals)
            .enable_all()
            .build()
    })
    .map_err(|error| StoreError::Other(format!("cannot start threads for the network: {error}")))?;
    // When two threads come here at once, one of the two runtimes is dropped, unused.
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// Waits for `work`, but no longer than somebody wants the bytes.
///
/// # Errors
/// [`StoreError::Cancelled`].
pub async fn while_wanted<T>(
    sink: &dyn Sink,
    work: impl Future<Output = T>,
) -> Result<T, StoreError> {
    let mut work = pin!(work);
    loop {
        match timeout(LOOK_AGAIN, work.as_mut()).await {
            Ok(done) => return Ok(done),
            Err(_) if sink.cancelled() => return Err(StoreError::Cancelled),
            Err(_) => {}
        }
    }
}
