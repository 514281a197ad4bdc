// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Work on the translator's threads: a [`task`] for one of them, and the count of work in progress ([`busy`]).

#![forbid(unsafe_code)]

pub mod busy;
pub mod task;
