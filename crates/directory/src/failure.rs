// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Maps errnos of the folder's file system to errors of the store.

#![forbid(unsafe_code)]

use std::path::Path;

use cloudsync_store::StoreError;
use rustix::io::Errno;

/// The error for `errno` of an operation (`what`, such as "read the object") below `folder`. Callers handle missing
/// objects themselves, so `ENOENT` means here that the store's folder is unreachable.
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

/// The errno of an I/O error; `EIO` if it has none.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
