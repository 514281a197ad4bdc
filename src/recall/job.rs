// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A job ([`cloudsync_logic::recall::job`]) whose waiters are operations of GlusterFS.

#![forbid(unsafe_code)]

use crate::history::About;
use crate::objects::Gluster;
use crate::volume::Volume;
use cloudsync_format::history::File;
use cloudsync_logic::recall::job;

/// A job on a file, and the operations that wait for it.
pub type Job = job::Job<Gluster>;
/// Serves reads during a recall of the whole file.
pub type Serving = job::Serving<Gluster>;

/// The job's file for the history. `bytes`: what came from the store. Its waiters must not be answered yet.
#[must_use]
pub fn listed(volume: &Volume, job: &Job, bytes: u64) -> File {
    let about = About {
        inode: &job.inode,
        gfid: job.gfid,
        bytes,
        since: job.started,
        store: volume.store_name(),
        by: job.by.as_ref(),
    };
    about.file()
}
