// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tasks for worker threads.

#![forbid(unsafe_code)]

use crate::sync::Arc;
use crate::work::busy::Busy;

/// An instance for which tasks work. It is not torn down while one is in progress.
pub trait Home: Send + Sync + 'static {
    /// Keeps the instance current on its thread until it is dropped.
    type Entered;

    /// Makes the instance the current one on this thread.
    fn enter(&self) -> Self::Entered;

    /// The count of its work in progress.
    fn busy(&self) -> &Arc<Busy>;
}

/// Creates a task that enters the translator and works on an operation. The order in which it releases everything
/// matters: the translator is left last.
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
