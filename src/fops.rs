// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The host's operations: the class of each, what to ask the bricks along with it, and what its answer teaches.

#![forbid(unsafe_code)]

use std::ffi::CStr;

use cloudsync_format::xattr::{self, State};

use crate::decision::{self, Class, Known};
use crate::host::ticket::{Arguments, Entry, Reply, Ticket};
use crate::recall::engine::Want;
use crate::sys::glusterfs_fop_t as fop;

/// A small file's bytes in the answer of a lookup (`GF_CONTENT_KEY`): quick-read above us asks for it.
const CONTENT: &CStr = c"glusterfs.content";

/// The class of an operation. Operations that the shim does not hook pass by themselves.
#[must_use]
pub fn classify(arguments: &Arguments<'_>) -> Class {
    match arguments.fop() {
        fop::GF_FOP_READDIRP => Class::Look,
        fop::GF_FOP_SETXATTR => match arguments.xattr() {
            Some(dict) if dict.has(xattr::UPLOAD_COMPLETE) => Class::Archive,
            _ => Class::Pass,
        },
        _ if arguments.is_not_a_file() => Class::Pass,
        fop::GF_FOP_LOOKUP | fop::GF_FOP_STAT | fop::GF_FOP_FSTAT | fop::GF_FOP_SETATTR => {
            Class::Look
        }
        fop::GF_FOP_FSETATTR | fop::GF_FOP_FSYNC | fop::GF_FOP_RENAME | fop::GF_FOP_LINK => {
            Class::Patch
        }
        fop::GF_FOP_READ
        | fop::GF_FOP_WRITE
        | fop::GF_FOP_TRUNCATE
        | fop::GF_FOP_FTRUNCATE
        | fop::GF_FOP_FALLOCATE
        | fop::GF_FOP_DISCARD
        | fop::GF_FOP_ZEROFILL
        | fop::GF_FOP_SEEK
        | fop::GF_FOP_RCHECKSUM => Class::Bytes,
        // The bricks check the destination of a copy, not its source.
        fop::GF_FOP_COPY_FILE_RANGE => Class::Unchecked,
        // The bricks cut the stub, and the next recall would bring the old bytes back.
        fop::GF_FOP_OPEN if arguments.flags() & libc::O_TRUNC != 0 => Class::Unchecked,
        _ => Class::Pass,
    }
}

/// What to ask the bricks along with an operation that is wound asking.
#[must_use]
pub const fn questions(class: Class, number: fop::Type) -> &'static [&'static CStr] {
    match (class, number) {
        // An entry of a listing tells its state by the attribute itself.
        (Class::Look, fop::GF_FOP_READDIRP) => &[xattr::STATUS, xattr::OBJECT_SIZE, xattr::REMOTE],
        // The size attribute on a local file is left over from a recall that died next to its end.
        (Class::Look, _) => &[xattr::STATUS, xattr::OBJECT_SIZE],
        _ => &[xattr::STATUS],
    }
}

/// Looks at the child's answer: corrects what it shows and remembers what it tells. Returns why the operation must
/// be parked instead of answered, if it must.
pub fn settle(ticket: &Ticket, reply: &mut Reply<'_>) -> Option<Want> {
    match ticket.class() {
        Class::Bytes | Class::Unchecked => settle_bytes(ticket, reply),
        _ if reply.op_ret() < 0 => None,
        Class::Look if ticket.fop() == fop::GF_FOP_READDIRP => {
            reply.for_each_entry(|entry| show_entry(ticket, entry));
            None
        }
        Class::Look => settle_look(ticket, reply),
        Class::Patch => {
            if let Known::Cold { size } = ticket.known() {
                show_stub_as_cold(reply, size);
            }
            None
        }
        Class::Pass | Class::Archive => None,
    }
}

fn settle_bytes(ticket: &Ticket, reply: &mut Reply<'_>) -> Option<Want> {
    let (class, attempt) = (ticket.class(), ticket.attempt());
    if reply.op_ret() < 0 {
        let cold = decision::refused_as_cold(class, reply.op_errno(), reply.state(), attempt);
        return cold.then_some(Want::Bytes);
    }
    if ticket.fop() != fop::GF_FOP_READ {
        return None;
    }
    let got = u64::try_from(reply.op_ret()).unwrap_or(0);
    let size = reply.after().map_or(0, |attributes| attributes.size());
    let arguments = ticket.arguments();
    decision::read_is_suspicious(arguments.size(), arguments.offset(), got, size, attempt)
        .then_some(Want::Bytes)
}

fn settle_look(ticket: &Ticket, reply: &mut Reply<'_>) -> Option<Want> {
    let state = reply.state();
    let xdata = reply.xdata();
    let attributes = reply.after().copied()?;
    if !attributes.is_file() {
        return None;
    }
    match state {
        Some(State::Remote | State::Repair) => {
            remember(
                ticket,
                Known::Cold {
                    size: attributes.size(),
                },
            );
            show_cold(reply, attributes.size());
        }
        Some(State::Local) => {
            if xdata.is_some_and(|dict| dict.has(xattr::OBJECT_SIZE)) {
                return (ticket.attempt() < 3).then_some(Want::Tidy);
            }
            remember(ticket, Known::Local);
        }
        // setattr: the bricks show the true size but do not tell the state.
        None => {
            if let Known::Cold { size } = ticket.known() {
                show_cold(reply, size.max(attributes.size()));
            }
        }
        Some(State::Downloading | State::Error) => remember(ticket, Known::Unknown),
    }
    if let Some(dict) = xdata {
        strip_content(dict, state, attributes.size());
    }
    None
}

/// quick-read copies as many bytes as the file is long out of the content: only a local file's is long enough.
fn strip_content(xdata: crate::host::dict::DictRef<'_>, state: Option<State>, size: u64) {
    let fits = state == Some(State::Local)
        && xdata
            .length(CONTENT)
            .is_none_or(|length| u64::try_from(length) == Ok(size));
    if !fits {
        xdata.remove(CONTENT);
    }
}

fn show_entry(ticket: &Ticket, entry: &mut Entry<'_>) {
    if !entry.attributes().is_file() {
        return;
    }
    let (cold, sized) = entry.xattrs().map_or((false, false), |dict| {
        (dict.has(xattr::REMOTE), dict.has(xattr::OBJECT_SIZE))
    });
    if cold {
        let size = entry.attributes().size();
        entry.learn(ticket.xlator(), Known::Cold { size });
        entry.attributes().show_cold(size);
    } else if sized {
        // Left over from a recall: the size shown is not the file's. Whoever wants it must look the file up.
        entry.without_attributes();
    } else {
        entry.learn(ticket.xlator(), Known::Local);
    }
}

fn remember(ticket: &Ticket, known: Known) {
    // Operations come by the thousand: nothing is stored that is known already.
    if ticket.known() != known
        && let Some(inode) = ticket.inode()
    {
        inode.learn(ticket.xlator(), known);
    }
}

fn show_cold(reply: &mut Reply<'_>, size: u64) {
    if let Some(attributes) = reply.after() {
        attributes.show_cold(size);
    }
    if let Some(attributes) = reply.before() {
        attributes.show_cold(size);
    }
}

/// As [`show_cold`], where the bricks answer with the stub's own attributes. A file that is longer than what we
/// remember is not the stub any more: somebody recalled it and wrote to it.
fn show_stub_as_cold(reply: &mut Reply<'_>, size: u64) {
    if reply
        .after()
        .is_some_and(|attributes| attributes.is_file() && attributes.size() < size)
    {
        show_cold(reply, size);
    }
}
