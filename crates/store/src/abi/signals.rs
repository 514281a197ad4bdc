// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Blocks signals in the plugin's threads, so that they reach the host's threads that handle them.

use std::mem::MaybeUninit;
use std::ptr;

/// The signals to block: all but CONT and those that a fault raises, as in the host's own threads (`gf_thread_create`).
fn blocked_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the whole set.
    let mut set = unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    };
    for signal in [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGSYS,
        libc::SIGFPE,
        libc::SIGABRT,
        libc::SIGCONT,
    ] {
        // SAFETY: the set is initialised and the signal's number valid.
        unsafe { libc::sigdelset(&raw mut set, signal) };
    }
    set
}

/// Blocks the host's signals in the calling thread. Every thread that a plugin starts must call this first.
pub fn block_signals() {
    let set = blocked_signals();
    // SAFETY: the set is initialised, and the old one is not requested.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
}

/// Runs `start` with the host's signals blocked, which threads that it starts inherit.
pub fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    struct Restore(libc::sigset_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: the set is the one that the thread had before.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut());
            };
        }
    }
    let (set, mut before) = (blocked_signals(), blocked_signals());
    // SAFETY: both sets are initialised; the call overwrites the second.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before) };
    let _restore = Restore(before);
    start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_kept_away_only_while_threads_start() {
        let blocked = || {
            let mut set = blocked_signals();
            // SAFETY: with no new set, the call only fills in the old one.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut set) };
            // SAFETY: the set is initialised.
            (unsafe { libc::sigismember(&raw const set, libc::SIGTERM) }) == 1
        };
        let before = blocked();
        assert!(with_signals_blocked(blocked));
        assert_eq!(blocked(), before);
    }
}
