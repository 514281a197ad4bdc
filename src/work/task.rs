// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Work on an operation, for one of our threads.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::host::xlator::Xlator;
use crate::work::workers;
use cloudsync_logic::work::busy::Busy;

/// What work is done for. It is not taken apart before that is done.
pub trait Home: Send + Sync + 'static {
    /// The host's side of it.
    fn this(&self) -> Xlator;

    /// Counts the work.
    fn busy(&self) -> &Arc<Busy>;
}

/// Work on an operation for one of our threads, which enters the translator, and gives everything back in this order.
pub fn task<H: Home, T: Send + 'static>(
    home: &Arc<H>,
    ticket: T,
    work: impl FnOnce(&Arc<H>, T) + Send + 'static,
) -> impl FnOnce() + Send + 'static {
    let (home, running) = (Arc::clone(home), home.busy().begin());
    move || {
        let entered = home.this().enter();
        work(&home, ticket);
        drop(running);
        drop(home);
        drop(entered);
    }
}

/// Works on an operation on a thread of ours, which asks the bricks only. Never blocks.
pub fn on_a_thread<H: Home, T: Send + 'static>(
    home: &Arc<H>,
    ticket: T,
    work: impl FnOnce(&Arc<H>, T) + Send + 'static,
) {
    // If no thread can be had the task is dropped, and with it the ticket, which answers.
    let started = workers::BRICKS.run(workers::LIMIT, task(home, ticket, work));
    if started.is_err() {
        log::error!("no thread for an operation on a cold file");
    }
}
