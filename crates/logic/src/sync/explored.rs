// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The locks of the crate `shuttle`, whose scheduler may switch threads whenever one takes a lock or waits.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
pub use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

pub use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard, Weak, atomic};

thread_local! {
    // shuttle runs all threads of an execution on one system thread.
    static EXECUTION: Cell<u64> = const { Cell::new(0) };
}

/// Gives the current execution its own statics. Must be called first in each.
pub fn new_execution() {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    EXECUTION.set(NEXT.fetch_add(1, Ordering::Relaxed));
}

/// A lazily created value for each execution. It is never dropped, so it should be small.
pub struct LazyLock<T: 'static> {
    init: fn() -> T,
    made: std::sync::Mutex<Option<HashMap<u64, &'static T>>>,
}

impl<T> fmt::Debug for LazyLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LazyLock")
    }
}

impl<T> LazyLock<T> {
    /// See [`std::sync::LazyLock::new`].
    pub const fn new(init: fn() -> T) -> Self {
        Self {
            init,
            made: std::sync::Mutex::new(None),
        }
    }
}

impl<T> Deref for LazyLock<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let all = made.get_or_insert_default();
        let leak = || -> &'static T { Box::leak(Box::new((self.init)())) };
        all.entry(EXECUTION.get()).or_insert_with(leak)
    }
}
