// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A job ([`cloudsync_logic::recall::job`]) whose waiters are operations of GlusterFS.

#![forbid(unsafe_code)]

use crate::history::{self, About};
use crate::objects::Gluster;
use crate::volume::Volume;
use cloudsync_format::history::{By, File};
use cloudsync_logic::recall::job;

/// A job on a file, and the operations that wait for it.
pub type Job = job::Job<Gluster>;
/// Serves reads during a recall of the whole file.
pub type Serving = job::Serving<Gluster>;

/// Records who caused the job, as long as the operation waits: a read can be served, and its process end, before the job
/// does.
pub fn introduce(volume: &Volume, job: &Job) {
    if volume.history.lists_recalls() {
        who(job);
    }
}

fn who(job: &Job) -> Option<By> {
    let by = job.by.as_ref()?;
    Some(job.who.get_or_init(|| history::who(by)).clone())
}

/// The job's file for the history. `bytes`: what came from the store, whose name is `store`; `None` is the name of the
/// volume's own.
#[must_use]
pub fn listed(volume: &Volume, job: &Job, bytes: u64, store: Option<&str>) -> File {
    let about = About {
        inode: &job.inode,
        gfid: job.gfid,
        bytes,
        since: job.started,
        store: volume.store_name(store),
        why: job.by.as_ref().map_or("?", |by| &*by.what),
        by: who(job),
    };
    about.file()
}
