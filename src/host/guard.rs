// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Catches panics before they reach the host. The process is not ours (a mount, Samba, qemu): a bug fails one operation
//! and is logged.

use std::any::Any;

use cloudsync_format::message;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// Runs `body`; a panic in it is logged and becomes `otherwise`.
pub fn catch<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    // AssertUnwindSafe: what `body` uses is either its own or behind a Mutex. We ignore lock poisoning, because the
    // locks guard plain data that is consistent after every step.
    panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        log::error!(
            id = message::INTERNAL;
            "internal error, the operation fails: {}", text(&*payload)
        );
        otherwise
    })
}

fn text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}

/// Logs the message and location of panics to the host's log, because stderr is closed in a daemon.
pub fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(
            |info| log::error!(id = message::INTERNAL; "{info}"),
        ));
    });
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_becomes_the_fallback() {
        assert_eq!(super::catch(5, || panic!("a bug in a test")), 5);
        assert_eq!(super::catch(5, || 7), 7);
    }
}
