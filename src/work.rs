// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Worker threads: the pools ([`workers`]), and tasks for them ([`task`]). [`cloudsync_logic::work::busy`] counts the
//! work in progress.

pub mod task;
pub mod workers;
