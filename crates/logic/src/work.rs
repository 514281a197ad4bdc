// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Work on threads of the translator: the count of what is under way ([`busy`]), and a [`task`] for one of them.

#![forbid(unsafe_code)]

pub mod busy;
pub mod task;
