// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! For stores on a network with asynchronous clients: the runtime they share, waiting with cancellation, and common
//! parts.

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

/// Worker threads. They decrypt and parse; each recall's own thread copies the bytes to the volume.
const WORKERS: usize = 2;
/// How often to check for cancellation while waiting for the store.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The runtime, started on the first call and not when the host merely loads the plugin. Each plugin has one set of
/// threads, however many volumes the process mounts, because the host does not end the old translator when it switches
/// graphs. `name` is the name of the threads, at most 15 characters.
///
/// # Errors
/// [`StoreError::Other`] if no thread can be started.
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
    // If two threads get here at the same time, one runtime is dropped unused.
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// Waits for `work`, until it is done or the sink is cancelled.
///
/// # Errors
/// [`StoreError::Cancelled`].
pub async fn while_wanted<T>(
    sink: &dyn Sink,
    work: impl Future<Output = T>,
) -> Result<T, StoreError> {
    let mut work = pin!(work);
    loop {
        match timeout(POLL_INTERVAL, work.as_mut()).await {
            Ok(done) => return Ok(done),
            Err(_) if sink.cancelled() => return Err(StoreError::Cancelled),
            Err(_) => {}
        }
    }
}
