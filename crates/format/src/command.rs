// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Extended attributes that are not there: what users and the archiver ask and tell the translator of a mount.
//! Listing a file's attributes never shows them, so no program copies them.

use std::ffi::CStr;

/// Get: a file's state, `local`, `cold` or `recalling N %`. To root also size and key, and what was kept.
pub const STATE: &CStr = c"glusterfs.cloudsync.state";
/// Set: bring the file back, and do not wait.
pub const RECALL: &CStr = c"glusterfs.cloudsync.recall";
/// Set or get: give up the recall that this client runs. Getting it needs no lock of the kernel's, which a waiting
/// write or truncation holds.
pub const CANCEL: &CStr = c"glusterfs.cloudsync.cancel";
/// Set or remove, by root: stands for [`crate::xattr::LAST`], which ordinary programs cannot change.
pub const LAST: &CStr = c"glusterfs.cloudsync.last";
/// Remove, by root: stands for [`crate::xattr::KEPT`].
pub const KEPT: &CStr = c"glusterfs.cloudsync.kept";
/// Set, by root, to `etag=ETAG`: the object has another version than when the file was archived, and is the same object.
/// The translator asks the store, and compares size and checksum with the file's record.
pub const ADOPT: &CStr = c"glusterfs.cloudsync.adopt";
