// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Writes on their way to the volume: how many, and what came of them.

#![forbid(unsafe_code)]

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Writes at once. Our translator has a window of its own and blocks earlier; under another one this is what keeps a
/// fast store from filling the client's memory.
const MOST_AT_ONCE: usize = 32;

#[derive(Debug, Default)]
struct State {
    on_the_way: usize,
    error: Option<i32>,
}

/// The writes of one recall. Shared by the thread that sends them and the callbacks.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    state: Mutex<State>,
    changed: Condvar,
}

impl Acks {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before a write: waits until there is room. Gives the errno of a write that failed, if one did.
    pub(crate) fn begin(&self) -> Result<(), i32> {
        let mut state = self
            .changed
            .wait_while(self.lock(), |state| state.on_the_way >= MOST_AT_ONCE)
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(errno) = state.error {
            return Err(errno);
        }
        state.on_the_way += 1;
        Ok(())
    }

    /// After a write, whatever came of it. The first error stays.
    pub(crate) fn end(&self, result: Result<(), i32>) {
        let mut state = self.lock();
        state.on_the_way -= 1;
        if let Err(errno) = result {
            state.error.get_or_insert(errno);
        }
        self.changed.notify_all();
    }

    /// Waits until every write came back.
    pub(crate) fn wait(&self) -> Result<(), i32> {
        let state = self
            .changed
            .wait_while(self.lock(), |state| state.on_the_way > 0)
            .unwrap_or_else(PoisonError::into_inner);
        state.error.map_or(Ok(()), Err)
    }
}
