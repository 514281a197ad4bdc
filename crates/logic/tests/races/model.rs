// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A model of what cloudsync-logic asks of the translator.
//!
//! | module | what it is |
//! |---|---|
//! | [`host`] | a host whose files are a number and whose memory is Rust's |
//! | [`ticket`] | operations that write down how they were answered |
//! | [`threads`] | a thread for each task, if one can be had |
//! | [`store`] | a store with one object, which can fail or stall |
//! | [`volume`] | a volume with one file, and the steps of its recall |
//! | [`instance`] | operations that come upon that file |

pub(crate) mod host;
pub(crate) mod instance;
pub(crate) mod store;
pub(crate) mod threads;
pub(crate) mod ticket;
pub(crate) mod volume;
