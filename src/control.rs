// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a user asks and tells about a file through extended attributes that are not there:
//!
//! | name | who | what |
//! |---|---|---|
//! | get `glusterfs.cloudsync.state` | everybody | `local`, `cold`, `recalling N %`; to root key and size too |
//! | set `glusterfs.cloudsync.recall` | who may read the file | bring it back; does not wait |
//! | set `glusterfs.cloudsync.cancel` | root and the owner | give the recall up that this client runs |
//!
//! Also here, because it asks the same question (may this user?): the check before an operation that cuts all bytes
//! of a cold file. The file becomes empty before the operation itself is wound, so its right to do so is checked first.

#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::sync::Arc;

use cloudsync_format::xattr::State;

use crate::decision::Known;
use crate::errno::{Errno, Failure};
use crate::host::child::{Child, Status};
use crate::host::dict::{Dict, DictRef};
use crate::host::guard;
use crate::host::inode::{Gfid, Inode, Loc};
use crate::host::ticket::{Answered, Ticket};
use crate::instance::Instance;
use crate::recall::engine::{self, Want};
use crate::recall::workers;

/// Asks for a file's state.
pub const STATE: &CStr = c"glusterfs.cloudsync.state";
const RECALL: &CStr = c"glusterfs.cloudsync.recall";
const CANCEL: &CStr = c"glusterfs.cloudsync.cancel";

/// What a user tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Bring the file back.
    Recall,
    /// Give its recall up.
    Cancel,
}

/// The command that setxattr carries, if it carries one.
#[must_use]
pub fn command(dict: DictRef<'_>) -> Option<Command> {
    [(RECALL, Command::Recall), (CANCEL, Command::Cancel)]
        .into_iter()
        .find_map(|(name, command)| dict.has(name).then_some(command))
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

/// Makes sure that the operation may cut the file, and then parks it until the file is local with its first `keep` bytes.
pub fn check_before_cutting(
    instance: &Arc<Instance>,
    ticket: Ticket,
    keep: u64,
    inode: Option<Inode>,
) {
    on_a_thread(instance, ticket, move |instance, ticket| {
        let allowed = guard::catch(Err(Failure::Bug), || {
            let file = File::of(instance, inode.as_ref())?;
            // A descriptor that is open for writing has been through this.
            if ticket.arguments().has_descriptor() {
                Ok(())
            } else {
                file.child.may(&ticket, &file.loc, libc::W_OK)
            }
        });
        match allowed {
            Ok(()) => engine::park(instance, ticket, Want::First(keep), inode, None),
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
        let no_memory = || Failure::Brick {
            step: "start",
            errno: Errno::ENOMEM,
        };
        let inode = inode.ok_or_else(no_memory)?;
        let child =
            Child::enter(instance.this, std::ptr::from_ref(inode).cast()).ok_or_else(no_memory)?;
        let loc = Loc::of(inode, gfid).ok_or_else(no_memory)?;
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
    match ticket.arguments().xattr().and_then(command) {
        None => {
            let text = describe(
                &status,
                instance
                    .engine
                    .job(inode.gfid())
                    .and_then(|job| job.progress()),
                uid,
            );
            let dict = Dict::new().map_err(refused)?;
            dict.set_text(STATE, &text).map_err(refused)?;
            Ok(Outcome::Text(dict))
        }
        Some(Command::Recall) => {
            file.child.may(ticket, &file.loc, libc::R_OK)?;
            if status.state != State::Local {
                engine::start(instance, inode, true);
            }
            Ok(Outcome::Done)
        }
        Some(Command::Cancel) => {
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
            Ok(Outcome::Done)
        }
    }
}

fn refused(errno: Errno) -> Failure {
    Failure::Refused {
        reason: String::from("not done"),
        errno,
    }
}

/// One line for people and programs. `progress` is of a recall by this client, in bytes.
fn describe(status: &Status, progress: Option<(u64, u64)>, uid: u32) -> String {
    let size = status.attributes.size();
    let percent = |there: u64, all: u64| {
        if all == 0 {
            100
        } else {
            u128::from(there) * 100 / u128::from(all)
        }
    };
    let state = match (status.state, progress) {
        (State::Local | State::Downloading, _) => return String::from("local"),
        (_, Some((there, all))) => format!("recalling {} %", percent(there, all)),
        (State::Repair, None) => {
            format!("recalling {} %", percent(status.on_bricks.min(size), size))
        }
        _ => String::from("cold"),
    };
    if uid != 0 {
        return state;
    }
    let key = status.key.as_ref().or(status.remote.as_ref());
    let key = key
        .map(|key| String::from_utf8_lossy(key).into_owned())
        .unwrap_or_default();
    // The key comes last: it may hold anything.
    format!("{state} size={size} key={key}")
}
