// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Locks, condition variables and atomics: the standard library's, or, with the feature `shuttle`, those of the crate
//! `shuttle`, whose scheduler explores the interleavings of threads in tests/races.

#![forbid(unsafe_code)]

#[cfg(feature = "shuttle")]
mod explored;

#[cfg(feature = "shuttle")]
pub use self::explored::*;
#[cfg(not(feature = "shuttle"))]
pub use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak, atomic};
