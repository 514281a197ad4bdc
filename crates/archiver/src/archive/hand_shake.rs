// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What was seen of a file, and the hand-shake that it goes into.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;

use cloudsync_format::claim::{Claim, Seen, Time};
use cloudsync_format::xattr as names;

use super::outcome::{Problem, Why};

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

/// Says what was seen and uploaded; the translator compares, asks the store, and cuts.
pub(crate) fn hand_shake(file: &File, seen: Seen, key: &str) -> Result<(), Problem> {
    use xattr::FileExt;
    let claim = Claim {
        seconds: seen.mtime.seconds,
        seen: Some(seen),
        key: Some(key.to_owned()),
    };
    let name = names::UPLOAD_COMPLETE.to_str().unwrap_or_default();
    let Err(error) = file.set_xattr(name, claim.to_string().as_bytes()) else {
        return Ok(());
    };
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    match errno {
        Some(Errno::BUSY | Errno::STALE) => Err(Problem::Left(Why::Changed)),
        Some(Errno::ALREADY) => Err(Problem::Left(Why::Cold)),
        Some(Errno::OPNOTSUPP) => Err(Problem::Left(Why::Sharded)),
        Some(Errno::INVAL) => Err(Problem::Other(
            "the translator does not understand this program: \
             install the same version of both on this host"
                .to_owned(),
        )),
        _ => Err(Problem::Io(
            "cutting it (the object is in the store; the client's log says more)",
            error,
        )),
    }
}
