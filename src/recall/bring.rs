// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Writes an object to the bricks: in parts if the plugin implements `fetch`, otherwise by its `fop_download`.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloudsync_logic::budget::Reservation;
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::queue::Parts;

use crate::host::child::Status;
use crate::host::fd::Fd;
use crate::plugin::store::{Download, LoadedStore};
use crate::recall::fetch::{self, Target};
use crate::recall::job::{Job, Serving};
use crate::recall::plugin_writes::PluginWrites;
use crate::recall::tracker::{Tracker, WriteError, Written};
use crate::volume::Volume;
use cloudsync_logic::objects::identity::Identity;

/// Writes the first `size` bytes of the object to the bricks. On success, all were acknowledged. `reserved`: of the budget,
/// for them. Blocks.
///
/// # Errors
/// Why the recall failed. The bytes written must then be discarded.
pub fn bring(
    volume: &Volume,
    store: &Arc<LoadedStore>,
    job: &Job,
    fd: &Fd,
    status: &Status,
    size: u64,
    reserved: Option<&Reservation>,
) -> Result<Written, Failure> {
    let config = volume.config();
    let tracker = Tracker::open(size, config.window);
    job.follow(&tracker);
    if !job.lease.is_sure(volume.bricks.disconnects()) {
        tracker.lose();
    }
    let result = if store.can_fetch() {
        let fetched = volume
            .objects
            .open(volume.this, store, job.gfid, status)
            .and_then(|object| {
                let holes = object.source.identity.provable_holes(size);
                let parts = Arc::new(Parts::between(size, &holes));
                if size == object.source.identity.size {
                    object.source.cover(true);
                }
                // A file that is going to be truncated is not served with its old bytes.
                if size == object.source.identity.size && !config.checked {
                    job.serve(Some(Serving {
                        tracker: Arc::clone(&tracker),
                        object: Arc::clone(&object),
                        parts: Arc::clone(&parts),
                    }));
                }
                let target = Target {
                    volume,
                    job,
                    fd,
                    tracker: &tracker,
                    give_up: config.give_up,
                    reserved,
                };
                let fetched = fetch::fetch(&object, &parts, holes, &target);
                object.source.cover(false);
                fetched
            });
        tracker.drain();
        fetched
    } else {
        let identity = Identity::of(status)?;
        let writes = PluginWrites::open(volume.this, fd, &tracker);
        let download = Download {
            fd,
            inode: &job.inode,
            key: &identity.key,
            version: identity.version.as_deref(),
            uuid: status.archive_uuid.as_ref(),
            attributes: &status.attributes,
            cancelled: &job.cancelled,
            after: &|| {
                writes.close();
                tracker.drain();
            },
        };
        let downloaded = store.download(&download).map_err(Failure::Store);
        let bytes = tracker.written().bytes;
        volume.allowance.budget.receive(bytes, reserved);
        downloaded
    };
    let written = tracker.written();
    match (written.error, result) {
        // A plugin of the stock ABI does not try again.
        _ if written.lost && !store.can_fetch() => Err(Failure::Disconnected),
        // An error of the bricks takes precedence: the plugin's error results from it.
        (Some(WriteError::Brick(errno)), _) => Err(Failure::Brick {
            step: "write",
            errno,
        }),
        (Some(WriteError::TooLong), _) => Err(Failure::TooLong(size)),
        (Some(WriteError::Cancelled), _) => Err(Failure::Cancelled),
        (None, _) if job.cancelled.load(Ordering::Acquire) != 0 => Err(Failure::Cancelled),
        (None, Err(failure)) => Err(failure),
        (None, Ok(())) if !written.complete => Err(Failure::Incomplete {
            got: written.bytes,
            want: size,
        }),
        (None, Ok(())) => Ok(written),
    }
}

/// Returns the errno with which a failed recall fails the waiting readers at once: without the bricks, the file's state
/// cannot be checked. Any other failure is the recall's alone, or the readers' own requests meet it too.
#[must_use]
pub fn refuses_readers(failure: &Failure) -> Option<Errno> {
    // After the loss of one of several bricks, the recall is retried.
    let refused = failure.errno() == Errno::ENOTCONN && !matches!(failure, Failure::Disconnected);
    refused.then_some(Errno::ENOTCONN)
}
