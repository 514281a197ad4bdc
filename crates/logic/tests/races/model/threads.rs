// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A thread for each task, if one can be had.

use std::cell::Cell;

use cloudsync_logic::host::NoThread;
use shuttle::rand::Rng;

thread_local! {
    static SCARCE: Cell<bool> = const { Cell::new(false) };
}

/// From now on one of four threads cannot be had.
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
