// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Queries the bricks on behalf of an operation, on a worker thread: for the identity of its file, or for its state.

#![forbid(unsafe_code)]

use std::sync::Arc;

use cloudsync_format::xattr::State;

use crate::host::child::Child;
use crate::host::guard;
use crate::host::inode::Inode;
use crate::host::ticket::{Answered, Ticket};
use crate::volume::Volume;
use crate::work::task::on_a_thread;
use cloudsync_logic::decision::Known;
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::protocol::brick_file::BrickFile;

/// Finds the file of an operation whose descriptor's inode has no gfid, and passes it to `then`. Never blocks.
pub fn find_file(
    volume: &Arc<Volume>,
    ticket: Ticket,
    then: impl FnOnce(Ticket, Inode, Gfid) + Send + 'static,
) {
    on_a_thread(volume, ticket, move |volume, mut ticket| {
        let found = guard::catch(Err(Failure::Bug), || {
            let inode = ticket.inode().ok_or(Failure::Bug)?;
            let child = Child::enter(volume.this, std::ptr::from_ref(&inode).cast());
            let child = child.ok_or(Failure::NO_MEMORY)?;
            let gfid = child.identity(&ticket)?;
            Ok((inode.linked(gfid).unwrap_or(inode), gfid))
        });
        match found {
            Ok((inode, gfid)) => {
                ticket.name(inode.clone());
                then(ticket, inode, gfid);
            }
            // The failure may be transient: wind the operation again and let the bricks decide.
            Err(_) if ticket.attempt() <= 1 => ticket.again(),
            Err(failure) => ticket.fail(failure.errno()),
        }
    });
}

/// Passes an operation to `then` if its file is cold; otherwise it fails with `EIO`. Never blocks.
pub fn if_cold(
    volume: &Arc<Volume>,
    ticket: Ticket,
    then: impl FnOnce(Ticket, Inode) + Send + 'static,
) {
    on_a_thread(volume, ticket, move |volume, ticket| {
        let status = guard::catch(Err(Failure::Bug), || {
            let inode = ticket.checked_inode().ok_or(Failure::NO_MEMORY)?;
            let status = volume.file(&inode, inode.gfid(), &inode)?.status()?;
            Ok((inode, status))
        });
        match status {
            Ok((inode, status)) if status.state != State::Local => then(ticket, inode),
            _ => ticket.fail(Errno::EIO),
        }
    });
}

/// Corrects the attributes in an answer that may show the stub's, and unwinds it. Never blocks.
pub fn recheck(volume: &Arc<Volume>, answered: Answered) {
    on_a_thread(volume, answered, |volume, mut answered| {
        let inode = answered.inode();
        let status = guard::catch(Err(Failure::Bug), || {
            let inode = inode.as_ref().ok_or(Failure::NO_MEMORY)?;
            volume.file(inode, answered.gfid(), inode)?.status()
        });
        let known = match (&status, &inode) {
            (Ok(status), Some(inode)) => {
                let known = match status.state {
                    State::Remote | State::Repair => Known::Cold {
                        size: status.attributes.size(),
                    },
                    _ => Known::Local,
                };
                inode.learn(volume.this, known);
                known
            }
            // The operation itself succeeded, so it is answered with the attributes known so far.
            (Err(_), Some(inode)) => inode.known(volume.this),
            (_, None) => Known::Unknown,
        };
        if let Known::Cold { size } = known {
            answered.show_cold(size);
        }
    });
}
