// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The recall engine and the tracker of its writes, word for word, between stand-ins for what is around them; and
//! locks whose scheduler (shuttle's) tries orders of events. The tests are in tests/.
//!
//! | real | stand-in |
//! |---|---|
//! | `recall::{busy, engine, tracker, ranges}`, `errno` | `sync`, `sys`, `host`, `instance`, `remote`, `recall::{job, lease, parts, workers}` |

#![forbid(unsafe_code)]

#[path = "../../../src/errno.rs"]
pub mod errno;
pub mod host;
pub mod instance;
pub mod recall;
pub mod remote;
pub mod sync;

/// In place of src/sys.rs.
pub mod sys {
    /// Numbers of operations.
    pub mod glusterfs_fop_t {
        /// A read.
        pub const GF_FOP_READ: u32 = 12;
    }
}
