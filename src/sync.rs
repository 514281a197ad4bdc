// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the modules wait and agree by whose races are explored: the standard library's. tests/races compiles the same
//! modules with another `sync`, whose scheduler tries orders of events.

#![forbid(unsafe_code)]

pub(crate) use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak, atomic};
