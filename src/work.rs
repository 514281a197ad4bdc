// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Work on threads of ours: the pools ([`workers`]), and a [`task`] for one of them. What is under way is counted
//! by [`cloudsync_logic::work::busy`].

pub mod task;
pub mod workers;
