// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a user asks and tells about a file through extended attributes that are not there:
//!
//! | name | who | what |
//! |---|---|---|
//! | get `glusterfs.cloudsync.state` | everybody | `local`, `cold`, `recalling N %`; to root key and size too |
//! | set `glusterfs.cloudsync.recall` | who may read the file | bring it back; does not wait |
//! | set or get `glusterfs.cloudsync.cancel` | root and the owner | give the recall up that this client runs |
//! | set `glusterfs.cloudsync.adopt` | root | the object has another version now, and is the same ([`crate::recall::adopt`]) |
//!
//! Getting `cancel` gives up as setting it does, and works while the kernel holds the file's lock for a write that waits.

#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::sync::Arc;

use cloudsync_format::command;
use cloudsync_format::record::Kept;
use cloudsync_format::xattr::{self, State};

use crate::decision::Known;
use crate::errno::{Errno, Failure};
use crate::host::child::{Child, Status};
use crate::host::dict::{Dict, DictRef};
use crate::host::guard;
use crate::host::inode::{Gfid, Inode, Loc};
use crate::host::ticket::{Answered, Ticket};
use crate::instance::Instance;
use crate::recall::{adopt, engine};
use crate::work::workers;

/// What a user tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Bring the file back.
    Recall,
    /// Give its recall up.
    Cancel,
    /// Take the object for the file's, whatever its version is now.
    Adopt,
}

/// The command that setxattr carries, if it carries one.
#[must_use]
pub fn command(dict: DictRef<'_>) -> Option<Command> {
    [
        (command::RECALL, Command::Recall),
        (command::CANCEL, Command::Cancel),
        (command::ADOPT, Command::Adopt),
    ]
    .into_iter()
    .find_map(|(name, command)| dict.has(name).then_some(command))
}

/// Whether getxattr of that name is for us.
#[must_use]
pub fn is_asked(name: &CStr) -> bool {
    name == command::STATE || name == command::CANCEL
}

enum Outcome {
    Done,
    Text(Dict),
}

/// Answers the operation on a thread of ours. Never blocks.
pub fn start(instance: &Arc<Instance>, ticket: Ticket) {
    on_a_thread(instance, ticket, |instance, ticket| {
        let outcome = guard::catch(Err(Failure::Bug), || answer(instance, &ticket));
        match outcome {
            Ok(Outcome::Done) => ticket.answer(),
            Ok(Outcome::Text(dict)) => ticket.answer_with(&dict),
            Err(failure) => ticket.fail(failure.errno()),
        }
    });
}

/// Finds out which file an operation is about whose descriptor's inode has no identity, and then does `go_on` with it.
/// Never blocks.
pub fn find_file(
    instance: &Arc<Instance>,
    ticket: Ticket,
    go_on: impl FnOnce(&Arc<Instance>, Ticket, Inode, Gfid) + Send + 'static,
) {
    on_a_thread(instance, ticket, move |instance, mut ticket| {
        let found = guard::catch(Err(Failure::Bug), || {
            let inode = ticket.inode().ok_or(Failure::Bug)?;
            let child = Child::enter(instance.this, std::ptr::from_ref(&inode).cast());
            let child = child.ok_or(Failure::NO_MEMORY)?;
            let gfid = child.identity(&ticket)?;
            Ok((inode.linked(gfid).unwrap_or(inode), gfid))
        });
        match found {
            Ok((inode, gfid)) => {
                ticket.name(inode.clone());
                go_on(instance, ticket, inode, gfid);
            }
            // What is odd about its answer may have passed. The bricks decide.
            Err(_) if ticket.attempt() <= 1 => instance.proceed(ticket),
            Err(failure) => ticket.fail(failure.errno()),
        }
    });
}

/// Corrects the attributes in an answer that may be the stub's, and sends it up. Never blocks.
pub fn look_again(instance: &Arc<Instance>, answered: Answered) {
    on_a_thread(instance, answered, |instance, mut answered| {
        let inode = answered.inode();
        let looked = guard::catch(Err(Failure::Bug), || {
            let file = File::with_gfid(instance, inode.as_ref(), answered.gfid())?;
            file.child.status(&file.loc)
        });
        let known = match (&looked, &inode) {
            (Ok(status), Some(inode)) => {
                let known = match status.state {
                    State::Remote | State::Repair => Known::Cold {
                        size: status.attributes.size(),
                    },
                    _ => Known::Local,
                };
                inode.learn(instance.this, known);
                known
            }
            // The operation itself is done, so it is answered all the same, with what is known.
            (Err(_), Some(inode)) => inode.known(instance.this),
            (_, None) => Known::Unknown,
        };
        if let Known::Cold { size } = known {
            answered.show_cold(size);
        }
    });
}

/// Work on an operation for one of our threads. The instance is not taken apart before it is done.
pub fn task<T: Send + 'static>(
    instance: &Arc<Instance>,
    ticket: T,
    work: impl FnOnce(&Arc<Instance>, T) + Send + 'static,
) -> impl FnOnce() + Send + 'static {
    let (instance, running) = (Arc::clone(instance), instance.busy.begin());
    move || {
        let entered = instance.this.enter();
        work(&instance, ticket);
        drop(running);
        drop(instance);
        drop(entered);
    }
}

/// Works on an operation on a thread of ours, which asks the bricks only. Never blocks.
pub fn on_a_thread<T: Send + 'static>(
    instance: &Arc<Instance>,
    ticket: T,
    work: impl FnOnce(&Arc<Instance>, T) + Send + 'static,
) {
    // If no thread can be had the task is dropped, and with it the ticket, which answers.
    let started = workers::BRICKS.run(workers::LIMIT, task(instance, ticket, work));
    if started.is_err() {
        log::error!("no thread for an operation on a cold file");
    }
}

/// A file, and the way to the bricks for a thread of ours.
#[derive(Debug)]
pub struct File {
    /// The bricks.
    pub child: Child,
    /// Where it is there.
    pub loc: Loc,
}

impl File {
    /// The file of `inode`.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn of(instance: &Instance, inode: Option<&Inode>) -> Result<Self, Failure> {
        let gfid = inode.map_or(Gfid([0; 16]), Inode::gfid);
        Self::with_gfid(instance, inode, gfid)
    }

    fn with_gfid(instance: &Instance, inode: Option<&Inode>, gfid: Gfid) -> Result<Self, Failure> {
        let inode = inode.ok_or(Failure::NO_MEMORY)?;
        let child = Child::enter(instance.this, std::ptr::from_ref(inode).cast());
        let child = child.ok_or(Failure::NO_MEMORY)?;
        let loc = Loc::of(inode, gfid).ok_or(Failure::NO_MEMORY)?;
        Ok(Self { child, loc })
    }
}

fn answer(instance: &Arc<Instance>, ticket: &Ticket) -> Result<Outcome, Failure> {
    let inode = ticket.inode();
    let file = File::of(instance, inode.as_ref())?;
    let inode = inode.ok_or(Failure::Bug)?;
    let status = file.child.status(&file.loc)?;
    if !status.attributes.is_file() {
        return Err(refused(Errno::ENODATA));
    }
    let uid = ticket.arguments().uid();
    let text = |name, text: &str| {
        let dict = Dict::new().map_err(refused)?;
        dict.set_text(name, text).map_err(refused)?;
        Ok(Outcome::Text(dict))
    };
    match ticket.arguments().xattr().and_then(command) {
        None if ticket.arguments().name() == command::CANCEL => {
            cancel(instance, &inode, &status, uid)?;
            text(command::CANCEL, "cancelled")
        }
        None => {
            let job = instance.engine.job(inode.gfid());
            let progress = job.and_then(|job| job.progress());
            let mut state = describe(&status, progress);
            if uid == 0 {
                let kept = file.child.attribute(&file.loc, xattr::KEPT)?;
                state += &describe_to_root(&status, kept.as_deref());
            }
            text(command::STATE, &state)
        }
        Some(Command::Recall) => {
            file.child.may(ticket, &file.loc, libc::R_OK)?;
            if status.state != State::Local {
                engine::start(instance, inode, true);
            }
            Ok(Outcome::Done)
        }
        Some(Command::Cancel) => {
            cancel(instance, &inode, &status, uid)?;
            Ok(Outcome::Done)
        }
        Some(Command::Adopt) => {
            if uid != 0 {
                return Err(refused(Errno::EPERM));
            }
            let value = ticket
                .arguments()
                .xattr()
                .and_then(|dict| dict.text(command::ADOPT));
            let etag = value
                .as_deref()
                .and_then(|value| value.strip_prefix("etag="))
                .ok_or_else(|| refused(Errno::EINVAL))?;
            adopt::command(instance, &file, etag)?;
            Ok(Outcome::Done)
        }
    }
}

fn cancel(
    instance: &Arc<Instance>,
    inode: &Inode,
    status: &Status,
    uid: u32,
) -> Result<(), Failure> {
    if uid != 0 && uid != status.attributes.uid() {
        return Err(refused(Errno::EPERM));
    }
    // First: a recall that ends takes its object along, and with it those who wait for bytes of it.
    let read = instance.objects.cancel(inode.gfid());
    let job = instance.engine.job(inode.gfid());
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
        reason: String::from("not done"),
        errno,
    }
}

/// For people and programs. `progress` is of a recall by this client, in bytes.
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

/// What root sees besides: ` size=BYTES` and ` key=KEY` of a cold file, ` kept=N` of one with objects that were kept.
fn describe_to_root(status: &Status, kept: Option<&[u8]>) -> String {
    let kept = kept.map_or(0, |kept| {
        Kept::parse(&String::from_utf8_lossy(kept)).count()
    });
    let kept = match kept {
        0 => String::new(),
        kept => format!(" kept={kept}"),
    };
    if matches!(status.state, State::Local | State::Downloading) {
        return kept;
    }
    let size = status.attributes.size();
    let key = status.key.as_ref().or(status.remote.as_ref());
    let key = key
        .map(|key| String::from_utf8_lossy(key).into_owned())
        .unwrap_or_default();
    // The key comes last: it may hold anything.
    format!(" size={size}{kept} key={key}")
}
