// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs the handshake with the archiver: see [`cloudsync_logic::protocol::handshake`].

#![forbid(unsafe_code)]

mod checks;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloudsync_format::claim::Claim;
use cloudsync_format::history::{self as listed, Event};
use cloudsync_format::xattr;
use cloudsync_logic::crash;
use cloudsync_logic::decision::Known;
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::history::Kind;
use cloudsync_logic::host::Ticket as _;
use cloudsync_logic::protocol::handshake::{self, Archive, Object, refused};
use cloudsync_logic::protocol::lease::{Held, Lease};
use cloudsync_logic::protocol::lock::lock_within;
use cloudsync_metrics::labels::Handshake as Ended;

use self::checks::check_object;
use crate::bricks::file::File;
use crate::history;
use crate::host::attributes::Attributes;
use crate::host::child::Status;
use crate::host::guard;
use crate::host::ticket::Ticket;
use crate::volume::Volume;
use crate::work::task::on_thread_of;
use crate::work::workers;

/// Runs the handshake on a worker thread and answers the operation. Never blocks.
pub fn start(volume: &Arc<Volume>, ticket: Ticket) {
    let limit = volume.config().recalls;
    on_thread_of(
        &workers::ARCHIVES,
        limit,
        volume,
        ticket,
        |volume, ticket| {
            let outcome = guard::catch(Err(Failure::Bug), || run(volume, &ticket));
            volume.metrics.handshake(match &outcome {
                Ok(_) => Ended::Archived,
                Err(Failure::Refused { .. }) => Ended::Refused,
                Err(_) => Ended::Failed,
            });
            let _step = crash::step("answer");
            match outcome {
                Ok(attributes) => ticket.answer_showing(&attributes),
                Err(failure) => {
                    log::log!(
                        failure.level(),
                        id = failure.message();
                        "{}: {failure}",
                        ticket
                            .inode()
                            .map_or_else(String::new, |inode| inode.path())
                    );
                    ticket.fail(failure.errno());
                }
            }
        },
    );
}

/// How long a handshake waits for a recall of the file before it fails; the archiver then retries later.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the attributes that the file has afterwards.
fn run(volume: &Volume, ticket: &Ticket) -> Result<Attributes, Failure> {
    if ticket.arguments().uid() != 0 {
        return Err(refused(Errno::EPERM, "only root may archive"));
    }
    let claim = ticket
        .arguments()
        .xattr()
        .and_then(|dict| dict.text(xattr::UPLOAD_COMPLETE))
        .as_deref()
        .and_then(Claim::parse)
        .ok_or_else(|| refused(Errno::EINVAL, "the value of csou.complete cannot be parsed"))?;
    let started = Instant::now();
    let inode = ticket.inode().ok_or(Failure::NO_MEMORY)?;
    let gfid = inode.gfid();
    let file = volume.file(&inode, gfid, &inode)?;
    let lease = Lease::default();
    lease.begin(&file);
    let locked = lock_within(&file, PATIENCE);
    let _lock = locked.map_err(|failure| match failure {
        Failure::Locked => refused(Errno::EBUSY, "another client holds the lock on the file"),
        failure => failure,
    })?;
    let mut work = Handshake {
        volume,
        ticket,
        claim: &claim,
        file: &file,
    };
    let own_times = volume.keeps_own_times();
    let held = Held {
        file: &file,
        lease: &lease,
    };
    let (status, object) = handshake::run(held, &claim, gfid, own_times, &mut work)?;
    let size = status.attributes.size();
    inode.learn(volume.this, Known::Cold { size });
    let archived = volume.history.event(Kind::Archived(size), || {
        let about = history::About {
            inode: &inode,
            gfid,
            bytes: size,
            since: started,
            store: volume.store_name(claim.store.as_deref()),
            why: "archive",
            by: Some(history::who(&ticket.who())),
        };
        listed::File {
            key: Some(object.key.clone()),
            ..about.file()
        }
    });
    if let Some(archived) = archived {
        history::write(&Event::Archived(archived));
    }
    let mut attributes = status.attributes;
    attributes.show_cold(size);
    Ok(attributes)
}

/// Implements what the protocol calls.
struct Handshake<'a> {
    volume: &'a Volume,
    ticket: &'a Ticket,
    claim: &'a Claim,
    file: &'a File<'a>,
}

impl Archive<Attributes> for Handshake<'_> {
    fn confirm_object(&mut self, status: &Status) -> Result<Object, Failure> {
        check_object(self.volume, self.claim, self.file, status)
    }

    fn mark_as_caller(&mut self, mark: &str) -> Result<(), Failure> {
        let File { child, loc, .. } = self.file;
        child.set_as_caller(self.ticket, loc, "mark", xattr::DOWNLOADING, mark)
    }

    fn bricks_do_not_check(&mut self) {
        self.volume.bricks.skipped_check();
    }
}
