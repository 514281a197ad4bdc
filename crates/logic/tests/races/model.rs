// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A model of the parts of the translator that cloudsync-logic calls.
//!
//! | module | contents |
//! |---|---|
//! | [`host`] | a host whose files are numbers and whose memory is Rust's |
//! | [`ticket`] | operations that record how they were answered |
//! | [`threads`] | a thread for each task, unless threads are scarce |
//! | [`store`] | a store with one object, which can fail or stall |
//! | [`volume`] | a volume with one file, and the steps of its recall |
//! | [`instance`] | operations that arrive for that file |

pub(crate) mod host;
pub(crate) mod instance;
pub(crate) mod store;
pub(crate) mod threads;
pub(crate) mod ticket;
pub(crate) mod volume;
