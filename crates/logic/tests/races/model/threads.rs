// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A thread for each task, unless threads are scarce.

use std::cell::Cell;

use cloudsync_logic::host::NoThread;
use shuttle::rand::Rng;

thread_local! {
    static SCARCE: Cell<bool> = const { Cell::new(false) };
}

/// If `scarce`, one in four threads cannot be started from now on.
pub(crate) fn become_scarce(scarce: bool) {
    SCARCE.set(scarce);
}

/// Runs the task.
///
/// # Errors
/// When threads are scarce.
pub(crate) fn run(task: impl FnOnce() + Send + 'static) -> Result<(), NoThread> {
    if SCARCE.get() && shuttle::rand::thread_rng().gen_ratio(1, 4) {
        return Err(NoThread);
    }
    shuttle::thread::spawn(task);
    Ok(())
}
