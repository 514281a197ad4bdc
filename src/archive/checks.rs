// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a handshake asks before it touches the file: is it one that can be archived, is it what the archiver saw, and
//! does the store have it.

#![forbid(unsafe_code)]

use std::ffi::CString;

use cloudsync_format::checksum::Checksum;
use cloudsync_format::claim::Claim;
use cloudsync_format::xattr::State;

use super::refused;
use crate::host::child::{Child, Status};
use crate::host::inode::Loc;
use crate::volume::Volume;
use cloudsync_logic::errno::{Errno, Failure};

pub(super) fn check_file(status: &Status) -> Result<(), Failure> {
    if !status.attributes.is_file() {
        return Err(refused(Errno::EINVAL, "not a regular file"));
    }
    // features/shard is above us: the file that we see is the first block, and the others are files of their own.
    if status
        .sharded_size
        .is_some_and(|size| size != status.attributes.size())
    {
        return Err(refused(Errno::EOPNOTSUPP, "it has more than one shard"));
    }
    match status.state {
        State::Local => Ok(()),
        State::Remote | State::Repair => Err(refused(Errno::EALREADY, "it is cold already")),
        State::Downloading | State::Error => Err(refused(Errno::EBUSY, "its state is not settled")),
    }
}

pub(super) fn check_claim(claim: &Claim, status: &Status) -> Result<(), Failure> {
    let changed = |what: &str| {
        Err(refused(
            Errno::EBUSY,
            format!("its {what} is another than when it was read"),
        ))
    };
    let attributes = &status.attributes;
    if attributes.mtime().seconds != claim.seconds {
        return changed("mtime");
    }
    let Some(seen) = claim.seen else {
        return Ok(());
    };
    if attributes.mtime() != seen.mtime {
        return changed("mtime");
    }
    if attributes.ctime() != seen.ctime {
        return changed("ctime");
    }
    if attributes.size() != seen.size {
        return changed("size");
    }
    Ok(())
}

/// The object that the file is.
pub(super) struct Object {
    pub(super) key: String,
    /// The store's version of it; empty if it cannot say.
    pub(super) version: String,
    /// Of the whole object, if the store or the archiver says it.
    pub(super) checksum: Option<Checksum>,
}

/// Law 2: the store says itself that it has the object, in full.
pub(super) fn check_object(
    volume: &Volume,
    claim: &Claim,
    child: &Child,
    loc: &Loc,
    status: &Status,
) -> Result<Object, Failure> {
    let store = volume.store().ok_or(Failure::NoStore)?;
    let key = match (&claim.key, &claim.seen, &status.key) {
        (Some(key), _, _) => key.clone(),
        (None, Some(_), Some(key)) => String::from_utf8_lossy(key).into_owned(),
        (None, Some(_), None) => {
            return Err(refused(
                Errno::EINVAL,
                "the value has no key and trusted.glusterfs.cs.key is not set",
            ));
        }
        // The stock form means the path; a key that is there is of an earlier archive.
        (None, None, _) => path_as_key(child, loc, status)?,
    };
    let c_key =
        CString::new(key.as_str()).map_err(|_| refused(Errno::EINVAL, "its key has a NUL"))?;
    let want = status.attributes.size();
    match store.head(&c_key) {
        Ok(Some(object)) if object.size == want => {
            check_sum(claim, &key, object.checksum)?;
            Ok(Object {
                key,
                version: object.etag,
                checksum: claim.checksum.or(object.checksum),
            })
        }
        Ok(Some(object)) => Err(refused(
            Errno::EBADMSG,
            format!(
                "the file has {want} bytes, but object {key} in the store has {}",
                object.size
            ),
        )),
        // A plugin of the stock ABI cannot ask. Whoever says a checksum relies on us to compare it.
        Ok(None) if claim.checksum.is_some() => Err(refused(
            Errno::EPROTONOSUPPORT,
            "the store's plugin cannot be asked for an object's checksum",
        )),
        Ok(None) => Ok(Object {
            key,
            version: String::new(),
            checksum: None,
        }),
        Err(errno) => Err(refused(
            // EBUSY is what a file that changed answers, and this one did not.
            if errno == Errno::EBUSY {
                Errno::ETIMEDOUT
            } else {
                errno
            },
            format!("the store does not vouch for object {key}: {errno}"),
        )),
    }
}

/// The bytes that the archiver read must be those that the store has.
fn check_sum(claim: &Claim, key: &str, found: Option<Checksum>) -> Result<(), Failure> {
    let Some(wanted) = claim.checksum else {
        return Ok(());
    };
    if found == Some(wanted) {
        return Ok(());
    }
    let found = found.map_or_else(|| "none".to_owned(), |found| found.to_string());
    Err(refused(
        Errno::EBADMSG,
        format!("the file has checksum {wanted}, but object {key} in the store has {found}"),
    ))
}

/// The stock form means the file's path. We see a file, and names of it that this client remembers: of a file with two
/// names either, and of one that another client has renamed perhaps the old one. An object at another name's path may
/// be of another file, and as long as this one.
fn path_as_key(child: &Child, loc: &Loc, status: &Status) -> Result<String, Failure> {
    if status.attributes.links() > 1 {
        return Err(refused(
            Errno::EMLINK,
            "it has several names, and the value does not say the object's key",
        ));
    }
    child.check_name(loc).map_err(|failure| {
        refused(
            Errno::EBUSY,
            format!("its name changed just now: {failure}"),
        )
    })?;
    Ok(loc.path().trim_start_matches('/').to_owned())
}
