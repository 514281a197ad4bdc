// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A job ([`cloudsync_logic::recall::job`]) whose waiters are operations of GlusterFS.

#![forbid(unsafe_code)]

use crate::objects::Gluster;
use cloudsync_logic::recall::job;

/// A job on a file, and the operations that wait for it.
pub type Job = job::Job<Gluster>;
/// Serves reads during a recall of the whole file.
pub type Serving = job::Serving<Gluster>;
