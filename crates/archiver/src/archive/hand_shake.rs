// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What was seen of a file, and the handshake that it goes into.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

use cloudsync_format::claim::{Claim, Seen, Time};
use cloudsync_format::xattr as names;
use cloudsync_store::{Checksum, StoreError};

use super::outcome::{Problem, Why};
use crate::crawl::text;

pub(crate) fn seen(data: &Metadata) -> Seen {
    let time = |seconds, nanos| Time {
        seconds,
        nanos: u32::try_from(nanos).unwrap_or(0),
    };
    Seen {
        mtime: time(data.mtime(), data.mtime_nsec()),
        ctime: time(data.ctime(), data.ctime_nsec()),
        size: data.len(),
    }
}

pub(super) fn changed(file: &File, before: &Seen) -> Result<bool, Problem> {
    let now = file
        .metadata()
        .map_err(|error| Problem::Io("looking at it", error))?;
    Ok(seen(&now) != *before)
}

/// Says what was seen and uploaded; the translator compares, asks the store, and cuts. With a checksum the store's
/// object must have it.
pub(crate) fn hand_shake(
    file: &File,
    seen: Seen,
    key: &str,
    checksum: Option<Checksum>,
) -> Result<(), Problem> {
    use xattr::FileExt;
    let claim = Claim {
        seconds: seen.mtime.seconds,
        seen: Some(seen),
        checksum,
        key: Some(key.to_owned()),
    };
    file.set_xattr(text(names::UPLOAD_COMPLETE), claim.to_string().as_bytes())
        .map_err(refusal)
}

/// What the translator means by an errno (docs/SEMANTICS.md).
fn refusal(error: io::Error) -> Problem {
    use rustix::io::Errno;
    const CUTTING: &str = "cutting it (the client's log says more)";
    let store = |of: fn(String) -> StoreError, what: &str| {
        Problem::Store(CUTTING, of(format!("{what} ({error}, the volume's store)")))
    };
    match Errno::from_io_error(&error) {
        Some(Errno::BUSY | Errno::STALE) => Problem::Left(Why::Changed),
        Some(Errno::ALREADY) => Problem::Left(Why::Cold),
        Some(Errno::OPNOTSUPP) => Problem::Left(Why::Sharded),
        Some(Errno::PROTONOSUPPORT) => Problem::CannotCompare,
        Some(Errno::INVAL) => Problem::Other(
            "the translator does not understand this program: \
             install the same version of both on this host"
                .to_owned(),
        ),
        Some(Errno::TIMEDOUT) => store(StoreError::Throttled, "the store asks for fewer requests"),
        Some(Errno::HOSTUNREACH) => store(StoreError::Unreachable, "the store does not answer"),
        Some(Errno::KEYREJECTED) => store(
            StoreError::BadCredentials,
            "the store refuses the volume's credentials",
        ),
        Some(Errno::NODATA) => store(StoreError::Missing, "the object is not there"),
        Some(Errno::BADMSG) => store(
            StoreError::Corrupt,
            "the object's size or checksum is not what was sent",
        ),
        Some(Errno::REMOTE) => store(
            StoreError::Settings,
            "the volume's clients have no store, or cannot start it",
        ),
        _ => Problem::Io(CUTTING, error),
    }
}
