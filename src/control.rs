// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The users' commands on a file, given through virtual extended attributes:
//! | name | permitted to | effect |
//! |---|---|---|
//! | get `glusterfs.cloudsync.metrics` of the volume's root | root | returns what the client has counted ([`crate::report`]) |
//! | get `glusterfs.cloudsync.jobs` of the volume's root | root | returns the client's jobs and who waits for them |
//! | get `glusterfs.cloudsync.state` | everyone | returns `local`, `cold` or `recalling N %`; for root also size and key |
//! | get `glusterfs.cloudsync.details` | root | the same, and when the file was archived |
//! | set `glusterfs.cloudsync.recall` | users who may read the file | starts a recall and does not wait for it |
//! | set or get `glusterfs.cloudsync.cancel` | root and the owner | cancels this client's recall |
//! | get `user.DOSATTRIB`, by Samba, of a cold file | users who may read the file | the DOS attributes, with *offline* |
//! | set `glusterfs.cloudsync.adopt` | root | accepts the object's new version as the same object ([`crate::recall::adopt`]) |
//! | set `glusterfs.cloudsync.move` | root | records that another store has the object ([`crate::recall::moved`]) |
//!
//! Getting `cancel` has the same effect as setting it, and also works while the kernel holds the file's lock for a
//! waiting write.

#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::sync::Arc;

use cloudsync_format::jobs::Waiter;
use cloudsync_format::record::Kept;
use cloudsync_format::xattr::{self, State};
use cloudsync_format::{command, dosattrib, stores};

use crate::bricks::file::File;
use crate::fops::commands::{self, Command};
use crate::host::child::Status;
use crate::host::dict::Dict;
use crate::host::guard;
use crate::host::inode::Inode;
use crate::host::ticket::Ticket;
use crate::recall::engine::Engine;
use crate::recall::{adopt, moved};
use crate::report;
use crate::work::task::on_thread_of;
use crate::work::workers;
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::host::{LIMIT, Ticket as _};
use cloudsync_logic::protocol::brick_file::BrickFile;

enum Outcome {
    Done,
    Text(Dict),
}

/// Answers the operation on a thread of ours. Never blocks.
pub fn start(engine: &Arc<Engine>, ticket: Ticket) {
    // For these two, the store is queried and the file's lock waited for, as in a handshake.
    let (pool, limit) = match ticket.arguments().xattr().and_then(commands::command) {
        Some(Command::Adopt | Command::Move) => {
            (&workers::ARCHIVES, engine.volume.config().recalls)
        }
        None if commands::is_about_client(ticket.arguments().name()) => (&workers::ABOUT, 2),
        _ => (&workers::BRICKS, LIMIT),
    };
    on_thread_of(pool, limit, engine, ticket, |engine, ticket| {
        let outcome = guard::catch(Err(Failure::Bug), || answer(engine, &ticket));
        match outcome {
            Ok(Outcome::Done) => ticket.answer(),
            Ok(Outcome::Text(dict)) => ticket.answer_with(&dict),
            Err(failure) => ticket.fail(failure.errno()),
        }
    });
}

fn text(name: &CStr, text: &str) -> Result<Outcome, Failure> {
    let dict = Dict::new().map_err(refused)?;
    dict.set_text(name, text).map_err(refused)?;
    Ok(Outcome::Text(dict))
}

fn answer(engine: &Arc<Engine>, ticket: &Ticket) -> Result<Outcome, Failure> {
    let inode = ticket.inode();
    let inode = inode.ok_or(Failure::NO_MEMORY)?;
    let uid = ticket.arguments().uid();
    let name = ticket.arguments().name();
    if commands::is_about_client(name) {
        return match (uid, inode.gfid() == Gfid::ROOT) {
            (0, true) if name == command::JOBS => {
                text(name, &report::jobs(engine).map_err(refused)?)
            }
            (0, true) => text(name, &report::metrics(engine)),
            (0, false) => Err(refused(Errno::ENODATA)),
            _ => Err(refused(Errno::EPERM)),
        };
    }
    let file = engine.volume.file(&inode, inode.gfid(), &inode)?;
    let status = file.status()?;
    if !status.attributes.is_file() {
        return Err(refused(Errno::ENODATA));
    }
    match ticket.arguments().xattr().and_then(commands::command) {
        None if ticket.arguments().name() == dosattrib::NAME => {
            file.child.may(ticket, &file.loc, libc::R_OK)?;
            dos_attributes(&file, &status)
        }
        None if ticket.arguments().name() == command::CANCEL => {
            cancel(engine, &inode, &status, uid)?;
            text(command::CANCEL, "cancelled")
        }
        None if name == command::DETAILS && uid != 0 => Err(refused(Errno::EPERM)),
        None => {
            let job = engine.job(inode.gfid());
            let progress = job.and_then(|job| job.progress());
            let mut state = describe(&status, progress);
            if uid == 0 {
                let names = [xattr::KEPT, xattr::ARCHIVED];
                let [kept, archived] = file.child.attributes(&file.loc, names)?;
                // Scripts compare the state with `local`.
                let archived = archived.filter(|_| name == command::DETAILS);
                state += &describe_to_root(&status, kept.as_deref(), archived.as_deref());
            }
            text(name, &state)
        }
        Some(Command::Recall) => {
            file.child.may(ticket, &file.loc, libc::R_OK)?;
            if status.state != State::Local {
                let by = Waiter {
                    what: "command".into(),
                    ..ticket.who()
                };
                engine.start(inode, by, true);
            }
            Ok(Outcome::Done)
        }
        Some(Command::Cancel) => {
            cancel(engine, &inode, &status, uid)?;
            Ok(Outcome::Done)
        }
        Some(Command::Adopt) => {
            let etag = from_root(ticket, command::ADOPT, "etag=")?;
            adopt::command(&engine.volume, &file, &etag)?;
            Ok(Outcome::Done)
        }
        Some(Command::Move) => {
            let name = from_root(ticket, command::MOVE, "store=")?;
            let to = stores::parse(&name).map_err(|_| refused(Errno::EINVAL))?;
            moved::command(&engine.volume, &file, inode.gfid(), to.as_deref())?;
            Ok(Outcome::Done)
        }
    }
}

/// Samba's attribute with the DOS attributes. A file that is cold is shown as offline.
fn dos_attributes(file: &File<'_>, status: &Status) -> Result<Outcome, Failure> {
    let mut value = file.attribute(dosattrib::NAME)?;
    if status.state != State::Local {
        value = dosattrib::offline(value.as_deref()).or(value);
    }
    let value = value.ok_or_else(|| refused(Errno::ENODATA))?;
    let dict = Dict::new().map_err(refused)?;
    dict.borrow()
        .set_bytes(dosattrib::NAME, &value)
        .map_err(refused)?;
    Ok(Outcome::Text(dict))
}

/// What follows `prefix` in the value of a command that only root may give.
fn from_root(ticket: &Ticket, command: &CStr, prefix: &str) -> Result<String, Failure> {
    let arguments = ticket.arguments();
    if arguments.uid() != 0 {
        return Err(refused(Errno::EPERM));
    }
    let value = arguments.xattr().and_then(|dict| dict.text(command));
    let rest = value
        .as_deref()
        .and_then(|value| value.strip_prefix(prefix));
    rest.map(str::to_owned)
        .ok_or_else(|| refused(Errno::EINVAL))
}

fn cancel(engine: &Arc<Engine>, inode: &Inode, status: &Status, uid: u32) -> Result<(), Failure> {
    if uid != 0 && uid != status.attributes.uid() {
        return Err(refused(Errno::EPERM));
    }
    // Before the job: a recall that ends closes its object, and with it the readers that wait for it.
    let volume = &engine.volume;
    let read = volume.objects.cancel(inode.gfid()) | volume.readings.cancel(inode.gfid());
    let job = engine.job(inode.gfid());
    if let Some(job) = &job {
        job.cancel();
    }
    if job.is_none() && !read {
        return Err(refused(Errno::ENODATA));
    }
    Ok(())
}

fn refused(errno: Errno) -> Failure {
    Failure::Refused {
        reason: String::from("command refused"),
        errno,
    }
}

/// The state, for people and programs. `progress`: bytes done and bytes in all of this client's recall.
fn describe(status: &Status, progress: Option<(u64, u64)>) -> String {
    let size = status.attributes.size();
    let percent = |there: u64, all: u64| {
        if all == 0 {
            100
        } else {
            u128::from(there) * 100 / u128::from(all)
        }
    };
    match (status.state, progress) {
        (State::Local | State::Downloading, _) => String::from("local"),
        (_, Some((there, all))) => format!("recalling {} %", percent(there, all)),
        (State::Repair, None) => {
            format!("recalling {} %", percent(status.on_bricks.min(size), size))
        }
        _ => String::from("cold"),
    }
}

/// What is added for root: ` size=BYTES`, ` store=NAME` if that is not the volume's own, and ` key=KEY` if the file is cold,
/// ` kept=N` if earlier objects of it were
/// kept, ` archived=SECONDS` if it was ever archived.
fn describe_to_root(status: &Status, kept: Option<&[u8]>, archived: Option<&[u8]>) -> String {
    let archived = archived.and_then(|seconds| std::str::from_utf8(seconds).ok()?.parse().ok());
    let archived = archived.map_or_else(String::new, |seconds: u64| format!(" archived={seconds}"));
    let kept = kept.map_or(0, |kept| {
        Kept::parse(&String::from_utf8_lossy(kept)).count()
    });
    let kept = match kept {
        0 => String::new(),
        kept => format!(" kept={kept}"),
    };
    if matches!(status.state, State::Local | State::Downloading) {
        return kept + &archived;
    }
    let size = status.attributes.size();
    let key = status.key.as_ref().or(status.remote.as_ref());
    let key = key
        .map(|key| String::from_utf8_lossy(key).into_owned())
        .unwrap_or_default();
    let store = status.store();
    let store = store.map_or_else(String::new, |store| format!(" store={store}"));
    // The key is last because it may contain anything.
    format!(" size={size}{kept}{archived}{store} key={key}")
}
