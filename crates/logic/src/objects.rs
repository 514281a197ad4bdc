// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Objects being read or recalled: their bytes in memory, the requests in flight, and the waiting reads.
//!
//! An [`object`] holds some of its bytes in memory ([`chunk`]) and requests others ([`get`]) from its [`source`],
//! within the process-wide [`limits`]. The readers and the recall of a file share one object, found in the
//! [`registry`], so that nothing is fetched twice.

#![forbid(unsafe_code)]

pub mod chunk;
pub mod depths;
pub mod get;
pub mod identity;
pub mod limits;
pub mod object;
pub mod registry;
pub mod source;
