// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Recalls: the count of their writes ([`tracker`]).

#![forbid(unsafe_code)]

pub mod tracker;
