// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Records the new version (etag) of an object that changed its version but not its bytes: it was copied to another
//! bucket or provider, uploaded in other parts, or encrypted with another key. Size and checksum in the file's record
//! prove that it is the same.

#![forbid(unsafe_code)]

use std::ffi::CString;
use std::time::Duration;

use cloudsync_format::xattr::{self, State};

use crate::bricks::file::File;
use crate::host::child::Status;
use crate::host::fd::Fd;
use crate::volume::Volume;
use cloudsync_format::message;
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::objects::identity::Identity;
use cloudsync_logic::protocol::brick_file::BrickFile;
use cloudsync_logic::protocol::lock::{lock_within, try_lock};

/// How long the command waits for the lock.
const PATIENCE: Duration = Duration::from_secs(10);

fn refused(errno: Errno, reason: String) -> Failure {
    Failure::Object {
        key: String::new(),
        why: reason,
        errno,
    }
}

/// Carries out root's command to accept the object of version `etag` as the file's. The store must have that version,
/// and the file's record, if there is one, must not contradict it. Blocks.
/// # Errors
/// Why the version is not accepted.
pub fn command(volume: &Volume, file: &File<'_>, etag: &str) -> Result<(), Failure> {
    let _lock = lock_within(file, PATIENCE)?;
    let status = file.status()?;
    if status.state != State::Remote {
        return Err(refused(Errno::EALREADY, "the file is not cold".to_owned()));
    }
    let store = volume.store_of(&status)?;
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
        let why = format!("the store has checksum {theirs}, the file's record has {ours}");
        return Err(refused(Errno::EBADMSG, why));
    }
    write_down(file, &status, etag)
}

/// Records a new version that a read has discovered. Does nothing if the file is locked. Blocks.
pub fn remember(file: &File<'_>, seen: &Status, etag: &CString) {
    let etag = etag.to_string_lossy();
    let written = try_lock(file).and_then(|_lock| {
        let now = file.status()?;
        let same = now.state == State::Remote
            && now.remote == seen.remote
            && now.key == seen.key
            && now.store() == seen.store()
            && now.version == seen.version;
        if same {
            write_down(file, &now, &etag)
        } else {
            Ok(())
        }
    });
    if let Err(failure) = written {
        log::debug!(
            "{}: cannot record the object's version: {failure}",
            file.path()
        );
    }
}

/// Requires the lock.
fn write_down(file: &File<'_>, status: &Status, etag: &str) -> Result<(), Failure> {
    let fd = Fd::anonymous(&file.loc)?;
    file.set(&fd, "adopt", &[(xattr::VERSION, etag)])?;
    let was = status.version.as_deref().map(String::from_utf8_lossy);
    log::info!(
        id = message::ADOPTED;
        "{}: the object's version changed from {} to {etag}; size and checksum are the same",
        file.path(),
        was.as_deref().unwrap_or("unknown")
    );
    Ok(())
}
