// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Counts the writes in flight to the volume, and keeps the first error.

#![forbid(unsafe_code)]

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Limit of writes in flight. Our translator limits them further; under the stock one this keeps a fast store from
/// filling the client's memory.
const MOST_AT_ONCE: usize = 32;

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    error: Option<i32>,
}

/// The writes of one recall, shared by the sending thread and the callbacks.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    state: Mutex<State>,
    changed: Condvar,
}

impl Acks {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Call before each write: waits until one more is allowed. Returns the errno of a failed write, if any.
    pub(crate) fn begin(&self) -> Result<(), i32> {
        let mut state = self
            .changed
            .wait_while(self.lock(), |state| state.in_flight >= MOST_AT_ONCE)
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(errno) = state.error {
            return Err(errno);
        }
        state.in_flight += 1;
        Ok(())
    }

    /// Call after each write, with its result. The first error is kept.
    pub(crate) fn end(&self, result: Result<(), i32>) {
        let mut state = self.lock();
        state.in_flight -= 1;
        if let Err(errno) = result {
            state.error.get_or_insert(errno);
        }
        self.changed.notify_all();
    }

    /// Waits until every write is acknowledged. Returns the first error.
    pub(crate) fn wait(&self) -> Result<(), i32> {
        let state = self
            .changed
            .wait_while(self.lock(), |state| state.in_flight > 0)
            .unwrap_or_else(PoisonError::into_inner);
        state.error.map_or(Ok(()), Err)
    }
}
