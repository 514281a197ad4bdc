// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Handles SIGINT and SIGTERM: the first finishes work in flight and starts no more, the second exits at once.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Installs the signal handlers.
pub(crate) fn listen() -> io::Result<()> {
    let stop = STOP.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        // In this order, so that the first signal does not find the flag already set.
        flag::register_conditional_shutdown(signal, 130, Arc::clone(stop))
            .and_then(|_| flag::register(signal, Arc::clone(stop)))?;
    }
    Ok(())
}

/// Whether a signal has asked the program to stop.
pub(crate) fn interrupted() -> bool {
    STOP.get().is_some_and(|stop| stop.load(Ordering::Relaxed))
}

/// Sleeps, unless `ends` is true or becomes it. Returns false in that case, soon.
pub(crate) fn rest(time: Duration, ends: &dyn Fn() -> bool) -> bool {
    /// How soon that is noticed.
    const LOOK_AGAIN: Duration = Duration::from_millis(100);
    let mut left = time;
    while !left.is_zero() {
        if ends() {
            return false;
        }
        let now = left.min(LOOK_AGAIN);
        thread::sleep(now);
        left -= now;
    }
    !ends()
}
