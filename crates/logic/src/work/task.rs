// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Work on an operation, for a thread of ours.

#![forbid(unsafe_code)]

use crate::sync::Arc;
use crate::work::busy::Busy;

/// What work is done for. It is not taken apart before that is done.
pub trait Home: Send + Sync + 'static {
    /// Makes the instance the current one of its thread until it is dropped.
    type Entered;

    /// Makes the instance the current one of this thread.
    fn enter(&self) -> Self::Entered;

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
        let entered = home.enter();
        work(&home, ticket);
        drop(running);
        drop(home);
        drop(entered);
    }
}
