// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Objects of a store: what the process may take for them ([`limits`]).

#![forbid(unsafe_code)]

pub mod limits;
