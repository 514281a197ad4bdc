// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What an errno of the folder's file system means.

#![forbid(unsafe_code)]

use std::path::Path;

use cloudsync_store::StoreError;
use rustix::io::Errno;

/// The error for `errno` of what was done (`what`, "cannot read the object") below `folder`. That something is
/// missing is for the caller to say.
pub(crate) fn failure(what: &str, folder: &Path, errno: Errno) -> StoreError {
    let text = format!("cannot {what}: {errno} (folder {})", folder.display());
    match errno {
        Errno::ACCESS | Errno::PERM | Errno::ROFS => StoreError::PermissionDenied(text),
        Errno::NOSPC | Errno::DQUOT => StoreError::Full(text),
        Errno::NOENT
        | Errno::STALE
        | Errno::IO
        | Errno::TIMEDOUT
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH
        | Errno::NETDOWN
        | Errno::NETUNREACH
        | Errno::NOTCONN
        | Errno::CONNRESET
        | Errno::NODEV
        | Errno::NXIO => StoreError::Unreachable(text),
        _ => StoreError::Other(text),
    }
}

/// The errno of what the standard library says.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
