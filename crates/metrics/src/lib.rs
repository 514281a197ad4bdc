// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a client of a volume counts and times, as OpenMetrics text: [`client::Client`] is what the translator keeps,
//! [`gather`] puts the texts of several clients together. docs/METRICS.md describes every name.

#![forbid(unsafe_code)]

pub mod client;
pub mod gather;
pub mod labels;
pub mod now;
mod registration;
