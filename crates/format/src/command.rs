// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Virtual extended attributes: the commands and queries of users and the archiver to the translator of a mount.
//! Listings do not include them, so no program copies them.

use std::ffi::CStr;

/// Get: a file's state, `local`, `cold` or `recalling N %`. For root also size, key, and the number of kept objects.
pub const STATE: &CStr = c"glusterfs.cloudsync.state";
/// Get, by root: as [`STATE`], and when the file was last archived ([`crate::xattr::ARCHIVED`]).
pub const DETAILS: &CStr = c"glusterfs.cloudsync.details";
/// Get, by root, of the mount's root: the client's metrics, as OpenMetrics text.
pub const METRICS: &CStr = c"glusterfs.cloudsync.metrics";
/// Get, by root, of the mount's root: the client's jobs, as lines of [`crate::jobs`].
pub const JOBS: &CStr = c"glusterfs.cloudsync.jobs";
/// Set: start a recall, without waiting for it.
pub const RECALL: &CStr = c"glusterfs.cloudsync.recall";
/// Set or get: cancel the recall that this client is running. A get does not need the inode's lock in the kernel, which
/// a waiting write or truncate holds.
pub const CANCEL: &CStr = c"glusterfs.cloudsync.cancel";
/// Set or remove, by root: alias of [`crate::xattr::LAST`], which ordinary programs cannot change.
pub const LAST: &CStr = c"glusterfs.cloudsync.last";
/// Remove, by root: alias of [`crate::xattr::KEPT`].
pub const KEPT: &CStr = c"glusterfs.cloudsync.kept";
/// Set, by root, to `etag=ETAG`: accept this version of the object instead of the archived one. The translator first
/// compares the object's size and checksum with the file's record.
pub const ADOPT: &CStr = c"glusterfs.cloudsync.adopt";
/// Set, by root, to `store=NAME` ([`crate::stores::shown`]): the object of the cold file is in that store now. The
/// translator first compares it there with the file's record.
pub const MOVE: &CStr = c"glusterfs.cloudsync.move";
