// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Threads as the host makes its own: named, with its stack size, and with the signals blocked that the host's main
//! thread waits for.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::thread;

/// As much as the host's threads have: resuming an operation runs the whole upper half of the graph.
const STACK_BYTES: usize = 8 << 20;

/// Signals that a thread must take itself when it causes them.
const OWN_SIGNALS: [i32; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGSYS,
    libc::SIGFPE,
    libc::SIGABRT,
];

/// Starts a detached thread. `name` has at most 15 characters, or the system cuts it.
///
/// # Errors
/// As the system has it: usually EAGAIN, too many threads.
pub fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    with_signals_blocked(|| {
        let builder = thread::Builder::new().name(name).stack_size(STACK_BYTES);
        builder.spawn(body).map(drop)
    })
}

/// Starts a thread that ends before `scope` does.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_scoped<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: String,
    body: impl FnOnce() + Send + 'scope,
) -> io::Result<()> {
    with_signals_blocked(|| {
        let builder = thread::Builder::new().name(name).stack_size(STACK_BYTES);
        builder.spawn_scoped(scope, body).map(drop)
    })
}

/// A thread inherits the mask of the one that makes it.
fn with_signals_blocked<T>(work: impl FnOnce() -> T) -> T {
    let before = block_signals();
    let result = work();
    // SAFETY: `before` is a mask that the system filled in.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    result
}

fn block_signals() -> libc::sigset_t {
    let mut block = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: fills the set in.
    unsafe { libc::sigfillset(block.as_mut_ptr()) };
    for signal in OWN_SIGNALS {
        // SAFETY: the set was filled in.
        unsafe { libc::sigdelset(block.as_mut_ptr(), signal) };
    }
    // SAFETY: reads the one set and fills the other in.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, block.as_ptr(), before.as_mut_ptr()) };
    // SAFETY: filled in: the call fails only for a bad first argument.
    unsafe { before.assume_init() }
}
