// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Objects that are read or recalled: what of them is in memory, what is on its way, and who waits for it.
//!
//! Of an [`object`] some bytes are in memory ([`chunk`]), others come by a request ([`get`]) from its [`source`], bounded
//! by [`limits`]. Readers and the recall of a file share its object, which the [`registry`] has, so nothing is fetched
//! twice.

#![forbid(unsafe_code)]

pub mod chunk;
pub mod get;
pub mod identity;
pub mod limits;
pub mod object;
pub mod registry;
pub mod source;
