// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The errno that an application gets for a failure: NFS has no name for some of ours, and its server would answer
//! `NFS4ERR_SERVERFAULT`, which ends an application although a later try would succeed.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};

use crate::host::process;
use cloudsync_logic::config::Errnos;
use cloudsync_logic::errno::Errno;

/// Process-wide, as the most recently applied settings have it.
static FOR_NFS: AtomicBool = AtomicBool::new(false);

/// Applies the setting `errnos`.
pub fn choose(setting: Errnos) {
    let for_nfs = match setting {
        Errnos::Auto => process::is_nfs_server(),
        Errnos::Posix => false,
        Errnos::Nfs => true,
    };
    FOR_NFS.store(for_nfs, Ordering::Relaxed);
}

/// The errno with which a failure is answered.
pub fn answered(errno: Errno) -> Errno {
    if FOR_NFS.load(Ordering::Relaxed) {
        errno.for_nfs()
    } else {
        errno
    }
}
