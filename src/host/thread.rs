// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Starts threads in the way the host does: named, with its stack size, and with the signals blocked that its main
//! thread handles.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::thread;

/// The stack size of the host's threads, which is needed because resuming an operation runs the upper half of the
/// graph.
const STACK_BYTES: usize = 8 << 20;

/// Signals that must be delivered to the thread that causes them.
const OWN_SIGNALS: [i32; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGSYS,
    libc::SIGFPE,
    libc::SIGABRT,
];

/// Starts a detached thread. The system truncates `name` to 15 bytes.
///
/// # Errors
/// The system's error: usually EAGAIN, too many threads.
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

/// Runs `work` with signals blocked, because a new thread inherits the mask of its creator.
fn with_signals_blocked<T>(work: impl FnOnce() -> T) -> T {
    let before = block_signals();
    let result = work();
    // SAFETY: `before` was filled in by the system.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    result
}

fn block_signals() -> libc::sigset_t {
    let mut block = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: initialises the set.
    unsafe { libc::sigfillset(block.as_mut_ptr()) };
    for signal in OWN_SIGNALS {
        // SAFETY: the set is initialised.
        unsafe { libc::sigdelset(block.as_mut_ptr(), signal) };
    }
    // SAFETY: reads one set and initialises the other.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, block.as_ptr(), before.as_mut_ptr()) };
    // SAFETY: initialised: the call fails only for an invalid first argument.
    unsafe { before.assume_init() }
}
