// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Recalls of files: one [`job`] for each, which operations wait for, started and ended by the [`engine`]. What a job does
//! on its volume is behind [`recalls`]. The [`tracker`] counts its writes and says what came of them ([`written`]).

#![forbid(unsafe_code)]

pub mod engine;
pub mod job;
pub mod recalls;
pub mod tracker;
pub mod written;
