// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs tasks ([`cloudsync_logic::work::task`]) on a pool of threads.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::work::workers::{self, Pool};
use cloudsync_format::message;
use cloudsync_logic::host::LIMIT;

use cloudsync_logic::work::task::{Home, task};

/// Runs `work` on an operation, on a thread of [`workers::BRICKS`]. Never blocks.
pub fn on_a_thread<H: Home, T: Send + 'static>(
    home: &Arc<H>,
    ticket: T,
    work: impl FnOnce(&Arc<H>, T) + Send + 'static,
) {
    on_thread_of(&workers::BRICKS, LIMIT, home, ticket, work);
}

/// Runs `work` on an operation, on one of at most `limit` threads of `pool`. Never blocks.
pub fn on_thread_of<H: Home, T: Send + 'static>(
    pool: &'static Pool,
    limit: usize,
    home: &Arc<H>,
    ticket: T,
    work: impl FnOnce(&Arc<H>, T) + Send + 'static,
) {
    // If no thread can be started, dropping the task drops the ticket, which answers EIO.
    if pool.run(limit, task(home, ticket, work)).is_err() {
        log::error!(
            id = message::NO_THREAD;
            "cannot start a thread ({pool:?}) for an operation"
        );
    }
}
