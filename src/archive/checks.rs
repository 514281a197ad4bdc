// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Checks that the store has the object of a handshake.

#![forbid(unsafe_code)]

use std::ffi::CString;

use cloudsync_format::checksum::Checksum;
use cloudsync_format::claim::Claim;

use crate::bricks::file::File;
use crate::host::child::Status;
use crate::volume::Volume;
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::protocol::brick_file::BrickFile;
use cloudsync_logic::protocol::handshake::{Object, refused};

/// Law 2: the store itself must confirm that it has the whole object.
pub(super) fn check_object(
    volume: &Volume,
    claim: &Claim,
    file: &File<'_>,
    status: &Status,
) -> Result<Object, Failure> {
    let store = volume.store_named(claim.store.as_deref())?;
    let key = match (&claim.key, &claim.seen, &status.key) {
        (Some(key), _, _) => key.clone(),
        (None, Some(_), Some(key)) => String::from_utf8_lossy(key).into_owned(),
        (None, Some(_), None) => {
            return Err(refused(
                Errno::EINVAL,
                "the value has no key and trusted.glusterfs.cs.key is not set",
            ));
        }
        // The stock form means the path; a recorded key belongs to an earlier archive.
        (None, None, _) => path_as_key(file, status)?,
    };
    let c_key = CString::new(key.as_str())
        .map_err(|_| refused(Errno::EINVAL, "the key contains a NUL byte"))?;
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
        // A plugin of the stock ABI cannot query the object, but a caller that passes a checksum relies on us to
        // compare it.
        Ok(None) if claim.checksum.is_some() => Err(refused(
            Errno::EPROTONOSUPPORT,
            "the store's plugin does not report checksums of objects",
        )),
        Ok(None) => Ok(Object {
            key,
            version: String::new(),
            checksum: None,
        }),
        Err(errno) => Err(refused(
            // To the archiver, EBUSY means that the file changed, which it did not.
            if errno == Errno::EBUSY {
                Errno::ETIMEDOUT
            } else {
                errno
            },
            format!("the store does not confirm object {key}: {errno}"),
        )),
    }
}

/// Checks that the store has the bytes that the archiver read.
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

/// Returns the file's path as the object's key, which the stock form of the handshake means. This client's idea of the
/// path is not reliable: a file with several links may have any of them, and another client may have renamed it. The
/// object at a wrong path may be another file's, of the same size.
fn path_as_key(file: &File<'_>, status: &Status) -> Result<String, Failure> {
    if status.attributes.links() > 1 {
        return Err(refused(
            Errno::EMLINK,
            "the file has several hard links, and the value does not contain the object's key",
        ));
    }
    file.child
        .check_name(&file.loc)
        .map_err(|failure| refused(Errno::EBUSY, format!("the file was renamed: {failure}")))?;
    Ok(file.path().trim_start_matches('/').to_owned())
}
