// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! An object that has another version (etag) than when the file was archived, and is the same object: it was copied to
//! another bucket or provider, in other parts, or encrypted with another key. Size and checksum of the file's record
//! prove it; then the new version is written down.

#![forbid(unsafe_code)]

use std::ffi::CString;
use std::time::Duration;

use cloudsync_format::xattr::{self, State};

use crate::bricks::file::File;
use crate::host::child::Status;
use crate::host::fd::Fd;
use crate::volume::Volume;
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::objects::identity::Identity;
use cloudsync_logic::protocol::brick_file::BrickFile;
use cloudsync_logic::protocol::lock::{lock_within, try_lock};

/// How long a command waits for the lock.
const PATIENCE: Duration = Duration::from_secs(10);

fn refused(errno: Errno, reason: String) -> Failure {
    Failure::Object {
        key: String::new(),
        why: reason,
        errno,
    }
}

/// Root says that the object of version `etag` is the file's. The store is asked, and the record, if there is one, must
/// not say otherwise. Blocks.
///
/// # Errors
/// Why not.
pub fn command(volume: &Volume, file: &File<'_>, etag: &str) -> Result<(), Failure> {
    let _lock = lock_within(file, PATIENCE)?;
    let status = file.status()?;
    if status.state != State::Remote {
        return Err(refused(Errno::EALREADY, "the file is not cold".to_owned()));
    }
    let store = volume.store().ok_or(Failure::NoStore)?;
    let identity = Identity::of(&status)?;
    let object = store
        .head(&identity.key)
        .map_err(Failure::Store)?
        .ok_or(Failure::Store(Errno::EOPNOTSUPP))?;
    if object.etag != etag || object.size != identity.size {
        let why = format!(
            "the store has version {} of {} bytes",
            object.etag, object.size
        );
        return Err(refused(Errno::ESTALE, why));
    }
    if let Some((ours, theirs)) = identity.checksum.zip(object.checksum)
        && ours.algorithm() == theirs.algorithm()
        && ours != theirs
    {
        let why = format!("checksum {theirs}, should be {ours}");
        return Err(refused(Errno::EBADMSG, why));
    }
    write_down(file, &status, etag)
}

/// Remembers what a reader has found out: the object's version is another one now. Does nothing if somebody is at work on
/// the file. Blocks.
pub fn remember(file: &File<'_>, seen: &Status, etag: &CString) {
    let etag = etag.to_string_lossy();
    let written = try_lock(file).and_then(|_lock| {
        let now = file.status()?;
        let same = now.state == State::Remote
            && now.remote == seen.remote
            && now.key == seen.key
            && now.version == seen.version;
        if same {
            write_down(file, &now, &etag)
        } else {
            Ok(())
        }
    });
    if let Err(failure) = written {
        log::debug!(
            "{}: its object's version is not written down: {failure}",
            file.path()
        );
    }
}

/// Under the lock.
fn write_down(file: &File<'_>, status: &Status, etag: &str) -> Result<(), Failure> {
    let fd = Fd::anonymous(&file.loc)?;
    file.set(&fd, "adopt", &[(xattr::VERSION, etag)])?;
    let was = status.version.as_deref().map(String::from_utf8_lossy);
    log::info!(
        "{}: its object is version {etag} now, it was {}; size and checksum are the same",
        file.path(),
        was.as_deref().unwrap_or("unknown")
    );
    Ok(())
}
