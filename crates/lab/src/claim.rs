// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Claims for tests that send the handshake themselves.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use cloudsync_format::claim::{Claim, Seen, Time};
use cloudsync_format::holes::Holes;

/// The claim of an archiver that saw this metadata, without a key and a checksum.
#[must_use]
pub fn claim(data: &Metadata) -> Claim {
    let time = |seconds, nanos: i64| Time {
        seconds,
        nanos: nanos.try_into().unwrap_or(0),
    };
    Claim {
        seconds: data.mtime(),
        seen: Some(Seen {
            mtime: time(data.mtime(), data.mtime_nsec()),
            ctime: time(data.ctime(), data.ctime_nsec()),
            size: data.len(),
        }),
        checksum: None,
        holes: Holes::default(),
        store: None,
        key: None,
    }
}
