// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Work on an operation ([`cloudsync_logic::work::task`]), on a thread that asks the bricks only.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::work::workers;
use cloudsync_logic::host::LIMIT;

pub use cloudsync_logic::work::task::{Home, task};

/// Works on an operation on a thread of ours, which asks the bricks only. Never blocks.
pub fn on_a_thread<H: Home, T: Send + 'static>(
    home: &Arc<H>,
    ticket: T,
    work: impl FnOnce(&Arc<H>, T) + Send + 'static,
) {
    // If no thread can be had the task is dropped, and with it the ticket, which answers.
    let started = workers::BRICKS.run(LIMIT, task(home, ticket, work));
    if started.is_err() {
        log::error!("no thread for an operation on a cold file");
    }
}
