// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Which server this process is: some need other answers than an application does.

#![forbid(unsafe_code)]

use std::fs;
use std::sync::LazyLock;

/// The program's name.
static NAME: LazyLock<String> = LazyLock::new(|| {
    let path = fs::read_link("/proc/self/exe").unwrap_or_default();
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
});

/// Whether this is NFS-Ganesha.
pub fn is_nfs_server() -> bool {
    *NAME == "ganesha.nfsd"
}

/// Whether this is Samba's file server.
pub fn is_samba() -> bool {
    *NAME == "smbd"
}
