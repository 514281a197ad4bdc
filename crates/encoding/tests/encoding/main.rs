// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A store that encodes, around the store `directory`.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

mod conformance;
mod keys;
mod programs;
mod ranges;
