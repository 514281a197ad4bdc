// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests the program on real volumes with a real S3 server.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

mod archive;
mod care;
mod catalog;
mod causes;
mod check;
mod collect;
mod copies;
mod encoding;
mod history;
mod kept;
mod leave;
mod metrics;
mod moved;
mod pins;
mod policy;
mod prove;
mod recalls;
mod residency;
mod restore;
mod resume;
mod round_trip;
mod scene;
mod sparse;
mod store;
mod stores;
mod terminal;
mod undelete;
mod versions;
mod waiting;
mod writers;
