// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The hand-shake with the archiver: it has uploaded a file and says what it saw; the file is cut only if that is
//! still so and the store holds the whole object.
//!
//! The bricks check on their own that the file is local and that its mtime did not pass, in whole seconds. Under the
//! lock that recalls take, this adds what they cannot: nanoseconds, ctime, size, and the object's own word (law 2).

#![forbid(unsafe_code)]

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloudsync_format::claim::{Claim, Time};
use cloudsync_format::xattr::{self, State};

use crate::decision::Known;
use crate::errno::{Errno, Failure};
use crate::host::child::{Child, Status};
use crate::host::guard;
use crate::host::inode::{Inode, Loc};
use crate::host::ticket::Ticket;
use crate::instance::Instance;
use crate::recall::workers;

/// Does the hand-shake on a thread of ours and answers the operation. Never blocks.
pub fn start(instance: &Arc<Instance>, ticket: Ticket) {
    let limit = instance.config().recalls;
    let instance = Arc::clone(instance);
    // If no thread can be had the task is dropped, and the ticket with it, which answers EIO.
    let started = workers::run(limit, move || {
        let _entered = instance.this.enter();
        let outcome = guard::catch(Err(Failure::Bug), || run(&instance, &ticket));
        match outcome {
            Ok(()) => ticket.answer(),
            Err(failure) => {
                log::warn!(
                    "{}: {failure}",
                    ticket
                        .inode()
                        .map_or_else(String::new, |inode| inode.path())
                );
                ticket.fail(failure.errno());
            }
        }
    });
    if started.is_err() {
        log::error!("no thread for a hand-shake");
    }
}

fn refused(errno: Errno, reason: impl Into<String>) -> Failure {
    Failure::Refused {
        reason: reason.into(),
        errno,
    }
}

fn run(instance: &Instance, ticket: &Ticket) -> Result<(), Failure> {
    let no_memory = || Failure::Brick {
        step: "start",
        errno: Errno::ENOMEM,
    };
    if ticket.arguments().uid() != 0 {
        return Err(refused(Errno::EPERM, "only root may archive"));
    }
    let claim = ticket
        .arguments()
        .xattr()
        .and_then(|dict| dict.text(xattr::UPLOAD_COMPLETE))
        .as_deref()
        .and_then(Claim::parse)
        .ok_or_else(|| {
            refused(
                Errno::EINVAL,
                "the value of csou.complete is not understood",
            )
        })?;
    let inode = ticket.inode().ok_or_else(no_memory)?;
    let child =
        Child::enter(instance.this, std::ptr::from_ref(&inode).cast()).ok_or_else(no_memory)?;
    let loc = Loc::of(&inode, inode.gfid()).ok_or_else(no_memory)?;
    let _lock = child.lock(&loc)?;

    let status = child.status(&loc)?;
    check_file(&status)?;
    check_claim(&claim, &status)?;
    let (key, version) = check_object(instance, &claim, &loc, &status)?;

    remember_object(&child, &loc, &key, &version)?;
    let cut = child.set_text(&loc, xattr::UPLOAD_COMPLETE, &claim.seconds.to_string());
    let after = child.status(&loc)?;
    match (cut, after.state) {
        (Ok(()), State::Remote) => {}
        (Err(errno), _) => return Err(refused(errno, "the bricks refused: it changed just now")),
        (Ok(()), _) => {
            return Err(refused(
                Errno::EBUSY,
                "somebody wrote to it while it was being cut",
            ));
        }
    }
    if after.attributes.mtime() != status.attributes.mtime() {
        restore_times(&child, &inode, &loc, &status);
    }
    inode.learn(
        instance.this,
        Known::Cold {
            size: status.attributes.size(),
        },
    );
    instance
        .engine
        .counters
        .archived
        .fetch_add(1, Ordering::Relaxed);
    log::info!(
        "{}: archived, {} bytes, as {key}",
        loc.path(),
        status.attributes.size()
    );
    Ok(())
}

fn check_file(status: &Status) -> Result<(), Failure> {
    if !status.attributes.is_file() {
        return Err(refused(Errno::EINVAL, "not a regular file"));
    }
    match status.state {
        State::Local => Ok(()),
        State::Remote | State::Repair => Err(refused(Errno::EALREADY, "it is cold already")),
        State::Downloading | State::Error => Err(refused(Errno::EBUSY, "its state is not settled")),
    }
}

fn check_claim(claim: &Claim, status: &Status) -> Result<(), Failure> {
    let changed = |what: &str| {
        Err(refused(
            Errno::ESTALE,
            format!("its {what} is another than when it was read"),
        ))
    };
    let time = |(seconds, nanos)| Time { seconds, nanos };
    let attributes = &status.attributes;
    if attributes.mtime().0 != claim.seconds {
        return changed("mtime");
    }
    let Some(seen) = claim.seen else {
        return Ok(());
    };
    if time(attributes.mtime()) != seen.mtime {
        return changed("mtime");
    }
    if time(attributes.ctime()) != seen.ctime {
        return changed("ctime");
    }
    if attributes.size() != seen.size {
        return changed("size");
    }
    Ok(())
}

/// Law 2: the store says itself that it has the object, in full. Returns the object's key and version.
fn check_object(
    instance: &Instance,
    claim: &Claim,
    loc: &Loc,
    status: &Status,
) -> Result<(String, String), Failure> {
    let store = instance.store().ok_or(Failure::NoStore)?;
    let key = match (&claim.seen, &status.key) {
        // Our archiver has written the key to the file. The stock form means the path, and a key that is there is
        // of an earlier archive.
        (Some(_), Some(key)) => String::from_utf8_lossy(key).into_owned(),
        (Some(_), None) => {
            return Err(refused(
                Errno::EINVAL,
                "trusted.glusterfs.cs.key is not set",
            ));
        }
        (None, _) => loc.path().trim_start_matches('/').to_owned(),
    };
    let c_key =
        CString::new(key.as_str()).map_err(|_| refused(Errno::EINVAL, "its key has a NUL"))?;
    let want = status.attributes.size();
    match store.head(&c_key) {
        Ok(Some(object)) if object.size == want => Ok((key, object.etag)),
        Ok(Some(object)) => Err(refused(
            Errno::EBADMSG,
            format!(
                "the file has {want} bytes, but object {key} in the store has {}",
                object.size
            ),
        )),
        // A plugin of the stock ABI cannot ask.
        Ok(None) => Ok((key, String::new())),
        Err(errno) => Err(refused(
            errno,
            format!("the store does not vouch for object {key}: {errno}"),
        )),
    }
}

/// Writes down which object the file is, before it is cut: names change, and so may what is at a name.
fn remember_object(child: &Child, loc: &Loc, key: &str, version: &str) -> Result<(), Failure> {
    let set = |name, value: &str| {
        child
            .set_text(loc, name, value)
            .map_err(|errno| Failure::Brick {
                step: "set the object's key",
                errno,
            })
    };
    set(xattr::VERSION, version)?;
    set(xattr::KEY, key)
}

/// Without features.ctime the cut moves the file's times. Failing to set them back is not worth more than a line.
fn restore_times(child: &Child, inode: &Inode, loc: &Loc, status: &Status) {
    let result = child
        .open(inode, loc)
        .and_then(|fd| child.set_times(&fd, &status.attributes));
    if let Err(failure) = result {
        log::warn!(
            "{}: archived, but its times could not be kept: {failure}",
            loc.path()
        );
    }
}
