// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Classifies the host's operations, chooses the request keys to wind with them, and examines the answers.

#![forbid(unsafe_code)]

pub mod commands;
pub mod marks;
mod table;

use std::ffi::CStr;

use cloudsync_format::xattr::State;
use cloudsync_format::{dosattrib, xattr};

use self::marks::Taken;
use crate::bricks::Check;
use crate::host::arguments::Arguments;
use crate::host::attributes::Attributes;
use crate::host::beside::Beside;
use crate::host::dict::DictRef;
use crate::host::inode;
use crate::host::process;
use crate::host::reply::{Entry, Reply};
use crate::host::ticket::{Stored, Ticket, Unasked};
use crate::sys::glusterfs_fop_t as fop;
use cloudsync_logic::decision::{self, Class, Known, Partly, Want};
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::labels::Label;

/// The key of a small file's content in a lookup's answer (`GF_CONTENT_KEY`), which quick-read above us requests.
const CONTENT: &CStr = c"glusterfs.content";

/// Returns the class of an operation with these arguments. Removes marks from the attributes that a setxattr sets.
#[must_use]
pub fn classify(arguments: &Arguments<'_>) -> Class {
    let class = table::class(arguments.fop());
    match arguments.fop() {
        fop::GF_FOP_SETXATTR | fop::GF_FOP_FSETXATTR => match arguments.xattr() {
            Some(dict) if class == Class::Archive && dict.has(xattr::UPLOAD_COMPLETE) => class,
            Some(dict) if commands::command(dict).is_some() => Class::Control,
            Some(dict) => match marks::take_out(dict, arguments.uid()) {
                Taken::Forbidden => Class::Forbidden,
                Taken::All => Class::Pretend,
                Taken::Rest if arguments.is_not_a_file() => Class::Pass,
                Taken::Rest => Class::Patch,
            },
            None => Class::Pass,
        },
        fop::GF_FOP_REMOVEXATTR | fop::GF_FOP_FREMOVEXATTR => {
            let name = arguments.name();
            if marks::is_mark(name) || (marks::stands_for(name).is_some() && arguments.uid() != 0) {
                Class::Forbidden
            } else if arguments.is_not_a_file() {
                Class::Pass
            } else {
                Class::Patch
            }
        }
        fop::GF_FOP_GETXATTR | fop::GF_FOP_FGETXATTR => match arguments.name() {
            name if name.is_empty() => Class::List,
            name if commands::is_about_client(name) => class,
            name if commands::is_asked(name) && !arguments.is_not_a_file() => class,
            name if name == dosattrib::NAME
                && process::is_samba()
                && !arguments.is_not_a_file() =>
            {
                Class::DosAttributes
            }
            _ => Class::Pass,
        },
        fop::GF_FOP_OPEN if arguments.flags() & libc::O_TRUNC == 0 => Class::Pass,
        // Its inode is a directory, but the entries are files.
        fop::GF_FOP_READDIRP => class,
        _ if arguments.is_not_a_file() => Class::Pass,
        _ => class,
    }
}

/// Returns the mark that a removal refers to by the archiver's name for it.
#[must_use]
pub fn mark_to_remove(arguments: &Arguments<'_>) -> Option<&'static CStr> {
    match arguments.fop() {
        fop::GF_FOP_REMOVEXATTR | fop::GF_FOP_FREMOVEXATTR => marks::stands_for(arguments.name()),
        _ => None,
    }
}

/// Returns the class of an operation, given whether the bricks check a file's state. `surely_local`: the file was seen
/// local since the bricks last connected.
#[must_use]
pub const fn class_on(number: fop::Type, class: Class, check: Check, surely_local: bool) -> Class {
    match (number, check) {
        // The answer to a read shows whether the bricks checked; the answer to a write does not.
        (fop::GF_FOP_READ | fop::GF_FOP_WRITE, Check::Skipped) if matches!(class, Class::Bytes) => {
            Class::Unchecked
        }
        (fop::GF_FOP_WRITE, Check::Unknown) if matches!(class, Class::Bytes) && !surely_local => {
            Class::Unchecked
        }
        _ => class,
    }
}

/// Whether the answer to an operation shows whether its file was local, by its label: see [`cloudsync_logic::labels`].
#[must_use]
pub const fn has_label(number: fop::Type, class: Class) -> bool {
    matches!((number, class), (fop::GF_FOP_READ, Class::Bytes))
}

/// Returns what must be done before an operation on a cold file's bytes can run. `check`: whether the bricks check a
/// file's state.
#[must_use]
pub fn want(arguments: &Arguments<'_>, known: Known, check: Check) -> Want {
    match arguments.fop() {
        // The file is not known to be cold. If the state cannot be queried, the write goes on and the bricks decide.
        fop::GF_FOP_WRITE if check == Check::Unknown && !matches!(known, Known::Cold { .. }) => {
            Want::Check
        }
        // Bytes that the operation truncates are not fetched.
        fop::GF_FOP_OPEN => Want::First(0),
        fop::GF_FOP_TRUNCATE | fop::GF_FOP_FTRUNCATE => Want::First(arguments.offset()),
        fop::GF_FOP_READ => Want::Read,
        fop::GF_FOP_SEEK => Want::Extents,
        _ => Want::Bytes,
    }
}

/// The marks by which the answer to an operation that shows attributes says whether the file is cold.
const MARKS: &[&CStr] = &[xattr::REMOTE, xattr::OBJECT_SIZE, xattr::ARCHIVED];

/// Returns the request keys for an operation that is wound with a query.
///
/// Operations that show attributes request a cold file's marks by name. With the status key, the bricks would overwrite
/// a local file's size with a left-over `cs.object_size`, and would log an error for each local file.
///
/// When a file was archived matters only for one of which nothing is known ([`may_be_torn`]).
///
/// Operations that write make the bricks check and write in one step, which the handshake relies on.
#[must_use]
pub const fn questions(number: fop::Type, class: Class, known: Known) -> &'static [&'static CStr] {
    match (class, number) {
        // Its entries are other files.
        (Class::Attributes, fop::GF_FOP_READDIRP) => MARKS,
        (Class::Attributes, _) if matches!(known, Known::Unknown) => MARKS,
        (Class::Attributes, _) => &[xattr::REMOTE, xattr::OBJECT_SIZE],
        (
            _,
            fop::GF_FOP_WRITE
            | fop::GF_FOP_FALLOCATE
            | fop::GF_FOP_DISCARD
            | fop::GF_FOP_ZEROFILL
            | fop::GF_FOP_COPY_FILE_RANGE,
        ) => &[xattr::STATUS, xattr::ATOMIC],
        _ => &[xattr::STATUS],
    }
}

/// What to do with an operation that the child has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Unwind the answer.
    Answer,
    /// Park the operation, then wind it again.
    Park(Want),
    /// The same if the file is cold; otherwise fail with `EIO`.
    ParkIfCold(Want),
    /// Unwind the answer, which shows that the bricks check a file's state.
    Checked,
    /// The bricks read the file without checking its state.
    Unchecked,
    /// The file may have been cold: wind it again, and ask the bricks.
    Ask,
    /// The file is still the stub of the object that the read is served from.
    Stub,
    /// It may no longer be: serve it as a cold file, and ask the bricks first.
    AskIfStub,
    /// Check the attributes in the answer again before unwinding it: they may be the stub's.
    Recheck,
}

/// Examines the child's answer: corrects the attributes in it and records the file's state. `is_busy`: whether this
/// client has a job on a file.
pub fn settle(ticket: &Ticket, reply: &mut Reply<'_>, is_busy: &dyn Fn(Gfid) -> bool) -> Verdict {
    let park = |want: Option<Want>| want.map_or(Verdict::Answer, Verdict::Park);
    match ticket.unasked() {
        None => {}
        Some(Unasked::During(recall)) => return settle_during(recall.as_ref(), ticket, reply),
        Some(Unasked::Label) => return settle_trusting(ticket, reply),
        Some(Unasked::Stub(object)) => return settle_stub(object.as_ref(), ticket, reply),
    }
    match ticket.class() {
        Class::Bytes
            if ticket.fop() == fop::GF_FOP_READ
                && reply.op_ret() >= 0
                && reply.state().is_none() =>
        {
            Verdict::Unchecked
        }
        Class::Bytes | Class::Unchecked => settle_bytes(ticket, reply),
        _ if reply.op_ret() < 0 => Verdict::Answer,
        Class::List => {
            if let Some(dict) = reply.xattrs() {
                marks::hide(dict);
            }
            Verdict::Answer
        }
        Class::Attributes if ticket.fop() == fop::GF_FOP_READDIRP => {
            reply.for_each_entry(|entry| show_entry(ticket, entry, is_busy));
            Verdict::Answer
        }
        Class::Attributes if matches!(ticket.fop(), fop::GF_FOP_SETATTR | fop::GF_FOP_FSETATTR) => {
            settle_setattr(ticket, reply)
        }
        Class::Attributes => park(settle_attributes(ticket, reply, is_busy)),
        Class::Patch if is_about_xattrs(ticket.fop()) => {
            settle_xattrs(ticket, reply);
            Verdict::Answer
        }
        Class::Patch if ticket.fop() == fop::GF_FOP_CREATE => settle_create(ticket, reply),
        Class::Patch => settle_patch(ticket, reply),
        Class::Pass
        | Class::Archive
        | Class::Control
        | Class::DosAttributes
        | Class::Pretend
        | Class::Forbidden => Verdict::Answer,
    }
}

/// The bricks report the attributes on disk, so an answer that could be a stub's is checked again. (A file being
/// recalled has its full size from the start, or gets it by one write.)
///
/// Not the answer to a rename of a file that is empty and was last seen local, as those are that were just created: nobody
/// looks at the attributes in it. The kernel gets none, and md-cache above us drops those that it has.
fn settle_patch(ticket: &Ticket, reply: &mut Reply<'_>) -> Verdict {
    let Some(attributes) = reply.after().copied().filter(Attributes::is_file) else {
        return Verdict::Answer;
    };
    let least = match ticket.known() {
        Known::Cold { size } => size,
        Known::Local | Known::Unknown => 1,
    };
    let is_looked_at = ticket.fop() != fop::GF_FOP_RENAME || !ticket.is_surely_local();
    if attributes.size() < least && is_looked_at {
        Verdict::Recheck
    } else {
        Verdict::Answer
    }
}

const fn is_about_xattrs(number: fop::Type) -> bool {
    matches!(
        number,
        fop::GF_FOP_SETXATTR
            | fop::GF_FOP_FSETXATTR
            | fop::GF_FOP_REMOVEXATTR
            | fop::GF_FOP_FREMOVEXATTR
    )
}

/// Corrects the attributes before and after the operation (`GF_PRESTAT`, `GF_POSTSTAT`) in the answer's xdata, or
/// removes doubtful ones. md-cache above us caches them; if they are missing, it queries the file.
fn settle_xattrs(ticket: &Ticket, reply: &Reply<'_>) {
    let Some(xdata) = reply.xdata() else {
        return;
    };
    for name in [c"virt-gf-prestat", c"virt-gf-poststat"] {
        let mut doubtful = false;
        xdata.with_attributes(name, |attributes| match ticket.known() {
            Known::Cold { size } if attributes.is_file() && attributes.size() < size => {
                attributes.show_cold(size);
            }
            _ => doubtful = attributes.is_file() && attributes.size() == 0,
        });
        if doubtful {
            xdata.remove(name);
        }
    }
}

/// A file that existed before has another gfid than the requested one, and may be cold.
fn settle_create(ticket: &Ticket, reply: &mut Reply<'_>) -> Verdict {
    let asked = ticket.arguments().new_gfid();
    let was_there = match (reply.after(), asked) {
        (Some(attributes), Some(asked)) => attributes.is_file() && attributes.gfid() != asked,
        _ => false,
    };
    if was_there {
        Verdict::Recheck
    } else {
        remember(ticket, Known::Local);
        Verdict::Answer
    }
}

/// As [`settle_patch`], but on most layouts the answer contains the requested marks.
fn settle_setattr(ticket: &Ticket, reply: &mut Reply<'_>) -> Verdict {
    match Answer::in_reply(reply).settled() {
        Answer::Cold { size } | Answer::Doubtful { size } => {
            remember(ticket, Known::Cold { size });
            show_cold(reply, size);
            Verdict::Answer
        }
        _ => settle_patch(ticket, reply),
    }
}

fn settle_bytes(ticket: &Ticket, reply: &mut Reply<'_>) -> Verdict {
    let (class, attempt) = (ticket.class(), ticket.attempt());
    if reply.op_ret() < 0 {
        if !decision::refused_as_cold(class, reply.op_errno(), reply.state(), attempt) {
            return Verdict::Answer;
        }
        let want = want(&ticket.arguments(), ticket.known(), Check::Done);
        // A replicated volume that fails a write for want of bricks returns the attributes of one that has carried it
        // out.
        let is_on_a_brick = reply.after().is_some_and(|attributes| attributes.is_file());
        if !is_on_a_brick {
            return Verdict::Park(want);
        }
        return match decision::partly_written(ticket.arguments().appends(), attempt) {
            Partly::Repeat => Verdict::Park(want),
            Partly::RepeatIfCold => Verdict::ParkIfCold(want),
            Partly::Fail => Verdict::Answer,
        };
    }
    if ticket.fop() != fop::GF_FOP_READ {
        return Verdict::Answer;
    }
    if is_suspicious(ticket, reply, attempt) {
        return Verdict::Park(Want::Read);
    }
    if let Some(looks) = ticket.looks()
        && let Some(label) = label(reply)
        && reply.state() == Some(State::Local)
        && looks.and(label) != looks
    {
        ticket.remember(looks.and(label));
    }
    Verdict::Checked
}

/// Whether a read got fewer bytes than the file has.
fn is_suspicious(ticket: &Ticket, reply: &mut Reply<'_>, attempt: u8) -> bool {
    let got = u64::try_from(reply.op_ret()).unwrap_or(0);
    let size = reply.after().map_or(0, |attributes| attributes.size());
    let arguments = ticket.arguments();
    decision::read_is_suspicious(arguments.size(), arguments.offset(), got, size, attempt)
}

fn label(reply: &mut Reply<'_>) -> Option<Label> {
    Label::of(reply.after()?, inode::era())
}

/// A read that did not ask. Any answer without the label is discarded, errors too: one may be due to a truncation.
fn settle_trusting(ticket: &Ticket, reply: &mut Reply<'_>) -> Verdict {
    let looks = ticket.looks().unwrap_or_default();
    let same = label(reply).is_some_and(|label| looks.has(label));
    if reply.op_ret() >= 0 && same && !is_suspicious(ticket, reply, 0) {
        return Verdict::Answer;
    }
    ticket.remember(looks.in_vain());
    Verdict::Ask
}

/// A read that did not ask whether the file is still the object's stub. Its answer has no bytes, and the stub's label if it is.
fn settle_stub(object: &dyn Stored, ticket: &Ticket, reply: &mut Reply<'_>) -> Verdict {
    let looks = ticket.looks().unwrap_or_default();
    let stub = reply.after().filter(|attributes| attributes.size() == 0);
    let label = stub.map(|stub| Label::of_stub(stub, inode::era()));
    if reply.op_ret() == 0 && label.is_some_and(|label| looks.has(label)) {
        return Verdict::Stub;
    }
    object.remember(looks.in_vain());
    Verdict::AskIfStub
}

/// A read from the bricks during a recall. A complete answer from a file of the right size holds bytes that the recall
/// has written. Any other answer is retried.
fn settle_during(during: &dyn Beside, ticket: &Ticket, reply: &mut Reply<'_>) -> Verdict {
    if reply.op_ret() < 0 {
        return Verdict::Answer;
    }
    let attributes = during.attributes();
    let (arguments, size) = (ticket.arguments(), attributes.size());
    let expected = size
        .saturating_sub(arguments.offset())
        .min(arguments.size());
    let whole = u64::try_from(reply.op_ret()) == Ok(expected) && during.is_sure();
    match reply.after() {
        Some(after) if whole && after.size() == size => {
            // The attributes on the bricks change while the recall writes.
            *after = attributes;
            Verdict::Answer
        }
        _ => Verdict::Park(Want::Read),
    }
}

fn settle_attributes(
    ticket: &Ticket,
    reply: &mut Reply<'_>,
    is_busy: &dyn Fn(Gfid) -> bool,
) -> Option<Want> {
    let attributes = reply
        .after()
        .copied()
        .filter(|attributes| attributes.is_file())?;
    let answer = match Answer::in_reply(reply) {
        // The job asks several times, so once is enough.
        Answer::Torn if ticket.attempt() == 0 => return Some(Want::Tidy),
        answer => answer.settled(),
    };
    match answer {
        Answer::Local if ticket.attempt() == 0 && may_be_torn(ticket.known(), reply.xdata()) => {
            return Some(Want::Tidy);
        }
        Answer::Local => remember(ticket, Known::Local),
        // Another client's recall, or bytes written while the feature was off. The job's attempt to lock distinguishes
        // them.
        Answer::Doubtful { .. } if ticket.attempt() == 0 && !is_busy(attributes.gfid()) => {
            return Some(Want::Inspect);
        }
        Answer::Cold { size } | Answer::Doubtful { size } => {
            remember(ticket, Known::Cold { size });
            show_cold(reply, size);
            show_offline(ticket, reply);
        }
        // A recall is between its commit and its end, or died there. The size in the answer may predate the commit:
        // wait for the end of the recall and query again.
        Answer::LeftOver if ticket.attempt() < MAX_CHECKS => return Some(Want::Tidy),
        Answer::LeftOver | Answer::Torn => {}
    }
    if let Some(dict) = reply.xdata() {
        let size = reply.after().map_or(0, |attributes| attributes.size());
        strip_content(dict, answer, size);
    }
    None
}

/// With `performance.cache-samba-metadata`, md-cache above us requests Samba's DOS attributes with each lookup, and answers
/// Samba from its cache: see [`dosattrib`].
fn show_offline(ticket: &Ticket, reply: &mut Reply<'_>) {
    if !process::is_samba() {
        return;
    }
    let Some(dict) = reply.xdata() else { return };
    let stored = dict.bytes(dosattrib::NAME);
    let is_requested = |request: DictRef<'_>| request.has(dosattrib::NAME);
    if (stored.is_some() || ticket.arguments().xdata().is_some_and(is_requested))
        && let Some(value) = dosattrib::offline(stored.as_deref())
        && dict.set_bytes(dosattrib::NAME, &value).is_err()
    {
        log::debug!("no memory to show a cold file as offline");
    }
}

/// How often an operation that shows attributes waits for the end of a recall.
const MAX_CHECKS: u8 = 3;

/// Size reported when the recorded size is missing or invalid. Not 0: the kernel does not send reads of an empty file,
/// and a reader of this one must get the error of its recall.
const NO_SIZE: u64 = 1;

/// The state that a file's attributes show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Local,
    Cold {
        size: u64,
    },
    /// Cold, with bytes on the bricks.
    Doubtful {
        size: u64,
    },
    /// Local, with marks left by a recall.
    LeftOver,
    /// Cold, with neither bytes nor a size.
    Torn,
}

/// Whether a local file's size in an answer may predate the commit of a recall that its marks do not: a brick reads the size
/// first, and a recall may write and commit before it reads the marks. That ends with the first answer after the commit.
fn may_be_torn(known: Known, xdata: Option<DictRef<'_>>) -> bool {
    match known {
        Known::Cold { .. } => true,
        Known::Unknown => xdata.is_some_and(|dict| dict.has(xattr::ARCHIVED)),
        Known::Local => false,
    }
}

impl Answer {
    /// As which a file is shown that stays torn: cold, with a size at which its recall's error is seen.
    const fn settled(self) -> Self {
        match self {
            Self::Torn => Self::Cold { size: NO_SIZE },
            other => other,
        }
    }

    fn in_reply(reply: &mut Reply<'_>) -> Self {
        let on_bricks = reply.after().map_or(0, |attributes| attributes.size());
        Self::of(reply.xdata(), on_bricks)
    }

    /// `on_bricks`: the size on the bricks.
    fn of(xdata: Option<DictRef<'_>>, on_bricks: u64) -> Self {
        let Some(dict) = xdata else {
            return Self::Local;
        };
        let size = dict
            .text(xattr::OBJECT_SIZE)
            .and_then(|size| xattr::size(size.as_bytes()));
        match (dict.has(xattr::REMOTE), size) {
            // A brick died during a commit.
            (true, None) if on_bricks > 0 && !dict.has(xattr::OBJECT_SIZE) => Self::LeftOver,
            (true, Some(size)) if on_bricks > 0 => Self::Doubtful { size },
            (true, None) if !dict.has(xattr::OBJECT_SIZE) => Self::Torn,
            (true, size) => Self::Cold {
                size: size.unwrap_or(NO_SIZE),
            },
            (false, Some(_)) => Self::LeftOver,
            (false, None) => Self::Local,
        }
    }
}

/// Removes the content unless it has the file's size: quick-read copies that many bytes from it.
fn strip_content(xdata: DictRef<'_>, answer: Answer, size: u64) {
    let fits = answer == Answer::Local
        && xdata
            .length(CONTENT)
            .is_none_or(|length| u64::try_from(length) == Ok(size));
    if !fits {
        xdata.remove(CONTENT);
    }
}

fn show_entry(ticket: &Ticket, entry: &mut Entry<'_>, is_busy: &dyn Fn(Gfid) -> bool) {
    if !entry.attributes().is_file() {
        return;
    }
    let (size, gfid) = (entry.attributes().size(), entry.attributes().gfid());
    match Answer::of(entry.xattrs(), size) {
        Answer::Local if may_be_torn(entry.known(ticket.xlator()), entry.xattrs()) => {
            entry.without_attributes();
        }
        Answer::Local => entry.learn(ticket.xlator(), Known::Local),
        Answer::Doubtful { .. } if !is_busy(gfid) => entry.without_attributes(),
        Answer::Cold { size } | Answer::Doubtful { size } => {
            entry.learn(ticket.xlator(), Known::Cold { size });
            entry.attributes().show_cold(size);
        }
        // As in `settle_attributes`; without attributes here, the caller must look the file up.
        Answer::LeftOver | Answer::Torn => entry.without_attributes(),
    }
}

fn remember(ticket: &Ticket, known: Known) {
    // On the path of every operation: store only what is new.
    let known_already = match known {
        Known::Local => ticket.is_surely_local(),
        known => ticket.known() == known,
    };
    if !known_already && let Some(inode) = ticket.inode() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reads_and_writes_go_past_the_check_of_a_brick() {
        for number in 1..fop::GF_FOP_MAXVALUE {
            let class = table::class(number);
            for check in [Check::Unknown, Check::Done, Check::Skipped] {
                for local in [false, true] {
                    let careful = match check {
                        Check::Unknown => number == fop::GF_FOP_WRITE && !local,
                        Check::Done => false,
                        Check::Skipped => matches!(number, fop::GF_FOP_READ | fop::GF_FOP_WRITE),
                    };
                    let want = if careful { Class::Unchecked } else { class };
                    let got = class_on(number, class, check, local);
                    assert_eq!(got, want, "{number} {check:?} {local}");
                }
            }
        }
        // For example, an operation on a directory.
        let passing = class_on(fop::GF_FOP_READ, Class::Pass, Check::Skipped, false);
        assert_eq!(passing, Class::Pass);
    }

    #[test]
    fn what_writes_has_the_bricks_check_and_write_in_one_step() {
        for number in 1..fop::GF_FOP_MAXVALUE {
            let asks =
                questions(number, table::class(number), Known::Unknown).contains(&xattr::ATOMIC);
            let writes = matches!(
                number,
                fop::GF_FOP_WRITE
                    | fop::GF_FOP_FALLOCATE
                    | fop::GF_FOP_DISCARD
                    | fop::GF_FOP_ZEROFILL
                    | fop::GF_FOP_COPY_FILE_RANGE
            );
            assert_eq!(asks, writes, "{number}");
        }
    }
}
