// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Records a file's attributes, and performs the handshake that has the translator truncate it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

use cloudsync_format::claim::{Claim, Seen, Time};
use cloudsync_format::holes::Holes;
use cloudsync_format::xattr as names;
use cloudsync_store::{Checksum, StoreError};

use super::outcome::{Problem, Why};
use crate::crawl::text;

/// The attributes by which the handshake detects a change.
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

/// Whether the file's attributes differ from those seen before.
pub(super) fn changed(file: &File, before: &Seen) -> Result<bool, Problem> {
    let now = file
        .metadata()
        .map_err(|error| Problem::Io("reading its attributes", error))?;
    Ok(seen(&now) != *before)
}

/// The object that has a file's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'a> {
    /// The name of its store; `None`: the volume's own.
    pub(crate) store: Option<&'a str>,
    pub(crate) key: &'a str,
    /// What the translator compares the object's checksum with.
    pub(crate) checksum: Option<Checksum>,
    /// Noted for recalls.
    pub(crate) holes: &'a Holes,
}

/// Asks the translator to truncate the file, whose bytes are in an object now. The translator first checks that the file is
/// as it was seen, and that the store has the object.
pub(crate) fn handshake(file: &File, seen: Seen, stored: &Stored<'_>) -> Result<(), Problem> {
    use xattr::FileExt;
    let claim = Claim {
        seconds: seen.mtime.seconds,
        seen: Some(seen),
        checksum: stored.checksum,
        holes: stored.holes.clone(),
        store: stored.store.map(str::to_owned),
        key: Some(stored.key.to_owned()),
    };
    file.set_xattr(text(names::UPLOAD_COMPLETE), claim.to_string().as_bytes())
        .map_err(refusal)
}

/// Maps an errno of the handshake to its meaning (docs/SEMANTICS.md).
fn refusal(error: io::Error) -> Problem {
    use rustix::io::Errno;
    const TRUNCATING: &str = "truncating it (see the client's log)";
    let store = |of: fn(String) -> StoreError, what: &str| {
        Problem::Store(
            TRUNCATING,
            of(format!("{what} ({error}, the volume's store)")),
        )
    };
    match Errno::from_io_error(&error) {
        Some(Errno::BUSY | Errno::STALE) => Problem::Left(Why::Changed),
        Some(Errno::ALREADY) => Problem::Left(Why::Cold),
        Some(Errno::OPNOTSUPP) => Problem::Left(Why::Sharded),
        Some(Errno::PROTONOSUPPORT) => Problem::CannotCompare,
        Some(Errno::INVAL) => Problem::Other(
            "the translator does not understand this request: \
             install the same version of the translator and of this program on this host"
                .to_owned(),
        ),
        Some(Errno::TIMEDOUT) => store(StoreError::Throttled, "the store asks for fewer requests"),
        Some(Errno::HOSTUNREACH) => store(StoreError::Unreachable, "the store does not answer"),
        Some(Errno::KEYREJECTED) => store(
            StoreError::BadCredentials,
            "the store refuses the volume's credentials",
        ),
        Some(Errno::NODATA) => store(StoreError::Missing, "the object does not exist"),
        Some(Errno::BADMSG) => store(
            StoreError::Corrupt,
            "the object's size or checksum differs from what was uploaded",
        ),
        Some(Errno::REMOTE) => store(
            StoreError::Settings,
            "the volume's clients do not have this store, or its plugin does not start",
        ),
        _ => Problem::Io(TRUNCATING, error),
    }
}
