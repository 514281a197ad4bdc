// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A model of what cloudsync-logic asks of the translator, for the tests in tests/, which explore orders of events.
//!
//! | module | what it is |
//! |---|---|
//! | [`host`] | a host whose files are a number and whose memory is Rust's |
//! | [`ticket`] | operations that write down how they were answered |
//! | [`threads`] | a thread for each task, if one can be had |
//! | [`store`] | a store with one object, which can fail or stall |
//! | [`volume`] | a volume with one file, and the steps of its recall |
//! | [`instance`] | operations that come upon that file |
//! | [`orders`] | how orders of events are explored |

#![forbid(unsafe_code)]
#![cfg(feature = "shuttle")]

pub mod host;
pub mod instance;
pub mod orders;
pub mod store;
pub mod threads;
pub mod ticket;
pub mod volume;
