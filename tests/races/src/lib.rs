// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The recall engine, the tracker of its writes and the requests of readers, word for word, between stand-ins for what
//! is around them; and locks whose scheduler (shuttle's) tries orders of events. The tests are in tests/.
//!
//! | real | stand-in |
//! |---|---|
//! | `host::beside`, `recall::{engine, job, tracker}`, `work::task` | `sys`, `host`, `instance`, `volume`, `plugin`, `objects`, `recall::steps`, `work::workers` |

#![forbid(unsafe_code)]
#![cfg(feature = "shuttle")]

pub mod host;
pub mod instance;
pub mod objects;
pub mod orders;
pub mod plugin;
pub mod recall;
pub mod volume;
pub mod work;

/// In place of src/sys.rs.
pub mod sys {
    /// Numbers of operations.
    pub mod glusterfs_fop_t {
        /// A truncation by path.
        pub const GF_FOP_TRUNCATE: u32 = 10;
        /// An open.
        pub const GF_FOP_OPEN: u32 = 11;
        /// A read.
        pub const GF_FOP_READ: u32 = 12;
        /// A truncation by descriptor.
        pub const GF_FOP_FTRUNCATE: u32 = 24;
    }
}
