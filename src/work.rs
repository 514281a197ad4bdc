// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Work on threads of ours: the pools ([`workers`]), the count of what is under way ([`busy`]), and a
//! [`task`] that both are for.

pub mod busy;
pub mod task;
pub mod workers;
