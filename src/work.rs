// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Work on threads of ours: the pools ([`workers`]) and the count of what is under way ([`busy`]).

pub mod busy;
pub mod workers;
