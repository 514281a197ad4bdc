// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Records that a cold file's object is in another store of the volume. The archiver has copied the object there, under
//! the same key, and lets the old one be for a while: whoever has read the file's record before finds the bytes there.
//!
//! The record alone says which store has the object, so the change is one attribute's. Beside it are hints: the new
//! version, and the archiver's note.

#![forbid(unsafe_code)]

use std::time::Duration;

use cloudsync_format::checksum::Checksum;
use cloudsync_format::record::Record;
use cloudsync_format::stores;
use cloudsync_format::xattr::{self, State};

use crate::bricks::file::File;
use crate::host::child::Status;
use crate::host::fd::Fd;
use crate::volume::Volume;
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::objects::identity::Identity;
use cloudsync_logic::protocol::brick_file::BrickFile;
use cloudsync_logic::protocol::handshake::{refused, write_record};
use cloudsync_logic::protocol::lease::{Held, Lease};
use cloudsync_logic::protocol::lock::lock_within;

/// How long the command waits for the lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// Carries out root's command. The store `to` (`None`: the volume's own) must have the object, with the size and the
/// checksum of the file's record (law 2: the old object will be deleted). Blocks.
///
/// # Errors
/// Why the record was not changed.
pub fn command(
    volume: &Volume,
    file: &File<'_>,
    gfid: Gfid,
    to: Option<&str>,
) -> Result<(), Failure> {
    // Before the lock, for which recalls wait: the other store may be slow.
    let seen = file.status()?;
    let (record, checksum) = record_of(&seen, gfid)?;
    if record.store.as_deref() == to {
        return Ok(());
    }
    let identity = Identity::of(&seen)?;
    let store = volume.store_named(to)?;
    let object = store.head(&identity.key).map_err(Failure::Store)?;
    let object = object.ok_or(Failure::Store(Errno::EPROTONOSUPPORT))?;
    if object.size != identity.size || object.checksum != Some(checksum) {
        return Err(refused(
            Errno::EBADMSG,
            "the other store's object is not the file's",
        ));
    }
    let lease = Lease::default();
    lease.begin(file);
    let _lock = lock_within(file, PATIENCE)?;
    let now = file.status()?;
    if record_of(&now, gfid)?.0 != record || Identity::of(&now)?.key != identity.key {
        return Err(refused(Errno::EALREADY, "the file was archived again"));
    }
    let held = Held {
        file,
        lease: &lease,
    };
    let note = stores::note(to, &identity.key.to_string_lossy());
    let fd = Fd::anonymous(&file.loc)?;
    let write_down = |record: &Record| {
        let values = [
            (xattr::VERSION, object.etag.as_str()),
            (xattr::LAST, &note),
            (xattr::RECORD, &record.to_string()),
        ];
        held.set(&fd, "record the store", &values)
    };
    let moved = Record {
        store: to.map(str::to_owned),
        ..record
    };
    write_record(moved, write_down)
}

/// The record and the checksum of a cold file without bytes on the bricks.
fn record_of(status: &Status, gfid: Gfid) -> Result<(Record, Checksum), Failure> {
    if status.state != State::Remote || status.on_bricks != 0 {
        return Err(refused(Errno::EALREADY, "the file is not cold"));
    }
    let its = |record: &Record| record.gfid == gfid.to_string();
    let record = status.record.clone().filter(its);
    record
        .and_then(|record| record.checksum.map(|checksum| (record, checksum)))
        .ok_or_else(|| refused(Errno::EINVAL, "it has no record with a checksum"))
}
