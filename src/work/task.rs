// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs tasks ([`cloudsync_logic::work::task`]) on the pool for short work on the bricks.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::work::workers;
use cloudsync_logic::host::LIMIT;

pub use cloudsync_logic::work::task::{Home, task};

/// Runs `work` on an operation, on a thread of [`workers::BRICKS`]. Never blocks.
pub fn on_a_thread<H: Home, T: Send + 'static>(
    home: &Arc<H>,
    ticket: T,
    work: impl FnOnce(&Arc<H>, T) + Send + 'static,
) {
    // If no thread can be started, dropping the task drops the ticket, which answers EIO.
    let started = workers::BRICKS.run(LIMIT, task(home, ticket, work));
    if started.is_err() {
        log::error!("cannot start a thread for an operation on a cold file");
    }
}
