// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A job ([`cloudsync_logic::recall::job`]) whose waiters are operations of GlusterFS.

#![forbid(unsafe_code)]

use crate::objects::Gluster;
use cloudsync_logic::recall::job;

/// A job and who waits for it.
pub type Job = job::Job<Gluster>;
/// What a recall serves readers with, while it holds the lock and brings the whole file.
pub type Serving = job::Serving<Gluster>;
