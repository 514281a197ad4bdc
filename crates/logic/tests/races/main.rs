// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Objects, their readers, recalls and the job engine, in thousands of orders of events: the locks are those of the
//! crate `shuttle`, whose scheduler decides which thread runs next. Everything around them is a [`model`].
//! `CLOUDSYNC_ORDERS=100000` explores more orders.

// In a test, panicking is the right way to handle an error.
#![allow(clippy::unwrap_used, missing_docs)]

mod engine;
mod gather;
mod model;
mod object;
mod orders;
mod tracker;
