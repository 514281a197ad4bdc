// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A ticket: an operation that the host has passed to us, which must be answered exactly once.
//!
//! A ticket is wound to the child ([`Ticket::wind`]; it returns with the answer as [`Settling`]), answered
//! ([`Ticket::answer`], [`Ticket::fail`]), or kept while its file is recalled. Dropping it answers EIO, so that a panic
//! or a forgotten code path fails one operation instead of hanging its caller.

mod unasked;

use std::ffi::{CStr, c_void};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::{self, NonNull};

pub use self::unasked::{Stored, Unasked};

use cloudsync_format::xattr;

use crate::host::arguments::Arguments;
use crate::host::attributes::Attributes;
use crate::host::buffer::Buffer;
use crate::host::dict::{Dict, DictRef};
use crate::host::errnos;
use crate::host::inode::{self, Inode};
use crate::host::xlator::Xlator;
use crate::sys;
use cloudsync_format::message;
use cloudsync_logic::decision::{Class, Known};
use cloudsync_logic::errno::Errno;
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::labels::Looks;

/// Callbacks to the modules above, the only upward calls. A ticket gets them on arrival.
pub struct Route {
    /// Dispatches the operation again, according to the file's current state. Never blocks.
    pub again: fn(Ticket),
    /// Serves a read of a cold file from any source. Never blocks.
    pub read: fn(Ticket),
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Route")
    }
}

/// The ticket's contents, kept across attempts.
struct Inner {
    /// The arguments, with references to everything that they refer to.
    call: sys::cs_call_t,
    this: Xlator,
    route: &'static Route,
    class: Class,
    /// How often the operation was parked.
    attempt: u8,
    /// Why the bricks were not asked for the state when a read was wound.
    unasked: Option<Unasked>,
    /// What was remembered of the label when a read was last dispatched; `None` if labels do not matter.
    looks: Option<Looks>,
    /// Whether an answer did not have that label, so that the bricks must be asked.
    must_ask: bool,
    /// Whether the read waits for an object of which the bricks were not asked whether it is still the file's.
    is_doubtful: bool,
    /// The file, if the inode in the arguments was never linked: see [`Ticket::is_nameless`].
    file: Option<Inode>,
}

impl Inner {
    /// Frees the contents after the operation was answered.
    fn wipe(mut self: Box<Self>) {
        // SAFETY: nothing uses the arguments any more.
        unsafe { sys::cs_shim_call_wipe(&raw mut self.call) };
    }
}

/// The attributes in the answer to an operation that was run as its caller.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    before: Attributes,
    after: Attributes,
}

/// Why an operation was not run as its caller.
#[derive(Debug)]
pub enum NotDone {
    /// The bricks refused it.
    Refused(Errno),
    /// The bricks have not answered yet: the operation waits for a lock there.
    Yet(Late),
}

/// An operation in flight, for [`Ticket::leave`].
#[derive(Debug)]
pub struct Late(NonNull<c_void>);

// SAFETY: the shim locks the data behind the pointer.
unsafe impl Send for Late {}

/// An operation that must be answered exactly once.
pub struct Ticket {
    inner: ManuallyDrop<Box<Inner>>,
}

// SAFETY: the host lets any thread wind or unwind an operation; the ticket is its only owner.
unsafe impl Send for Ticket {}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Ticket(fop {}, {:?}, attempt {})",
            self.fop(),
            self.inner.class,
            self.inner.attempt
        )
    }
}

impl Ticket {
    /// Takes over an operation that the host has just passed to the shim. `None`: the operation was answered with
    /// ENOMEM.
    ///
    /// # Safety
    /// Everything that `call` refers to is live, and nothing else winds or unwinds the operation.
    pub(crate) unsafe fn arrive(
        this: Xlator,
        call: &sys::cs_call_t,
        class: Class,
        route: &'static Route,
    ) -> Option<Self> {
        let mut inner = Box::new(Inner {
            call: *call,
            this,
            route,
            class,
            attempt: 0,
            unasked: None,
            looks: None,
            must_ask: false,
            is_doubtful: false,
            file: None,
        });
        let call = &raw mut inner.call;
        // SAFETY: live by this function's contract.
        if unsafe { sys::cs_shim_call_keep(call) } != 0 {
            // SAFETY: as above; no references were kept.
            unsafe { sys::cs_shim_call_unwind(call, -1, libc::ENOMEM, ptr::null_mut()) };
            return None;
        }
        Some(Self {
            inner: ManuallyDrop::new(inner),
        })
    }

    /// The operation's number in the host's enumeration.
    #[must_use]
    pub fn fop(&self) -> sys::glusterfs_fop_t::Type {
        self.inner.call.fop
    }

    /// The operation's class.
    #[must_use]
    pub fn class(&self) -> Class {
        self.inner.class
    }

    /// How often the operation was parked.
    #[must_use]
    pub fn attempt(&self) -> u8 {
        self.inner.attempt
    }

    /// Counts an attempt. To be called before parking.
    pub fn count_attempt(&mut self) {
        self.inner.attempt = self.inner.attempt.saturating_add(1);
    }

    /// Dispatches the operation again as if it had just arrived, once the condition it waited for holds. Never blocks.
    pub fn again(self) {
        (self.inner.route.again)(self);
    }

    /// Serves a read although its file was not recalled. Never blocks.
    pub fn read_again(self) {
        (self.inner.route.read)(self);
    }

    /// The instance that received the operation.
    #[must_use]
    pub fn xlator(&self) -> Xlator {
        self.inner.this
    }

    /// The operation's arguments.
    #[must_use]
    pub fn arguments(&self) -> Arguments<'_> {
        Arguments {
            call: &self.inner.call,
        }
    }

    /// The operation's file; for a copy, the source.
    #[must_use]
    pub fn inode(&self) -> Option<Inode> {
        // SAFETY: the call, or the ticket, holds a reference.
        unsafe { Inode::from_raw(self.raw_inode()) }
    }

    fn raw_inode(&self) -> *mut sys::inode_t {
        match &self.inner.file {
            Some(file) => file.as_ptr(),
            None => self.arguments().inode(),
        }
    }

    /// Whether the file is known by a descriptor only, whose inode has no gfid. If several threads create the same file
    /// concurrently, all but one get a descriptor whose inode is never linked.
    #[must_use]
    pub fn is_nameless(&self) -> bool {
        self.arguments().has_descriptor()
            && self.inode().is_some_and(|inode| inode.gfid().is_none())
    }

    /// Sets the file of a nameless operation.
    pub fn name(&mut self, file: Inode) {
        self.inner.file = Some(file);
    }

    /// The operation's descriptor.
    pub(crate) fn descriptor(&self) -> *mut sys::fd_t {
        self.inner.call.fd
    }

    /// Changes the name of the attribute that a removexattr removes.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn rename(&mut self, name: &CStr) -> Result<(), Errno> {
        // SAFETY: the call and the name in it are ours; the shim copies the new name.
        match unsafe { sys::cs_shim_call_rename(&raw mut self.inner.call, name.as_ptr()) } {
            0 => Ok(()),
            _ => Err(Errno::ENOMEM),
        }
    }

    /// Runs the operation, a truncation or an open, on the child with the caller's identity, whatever the file's state.
    /// It must still be answered: [`Ticket::answer_done`]. Blocks for a few seconds at most.
    ///
    /// # Errors
    /// Why the operation was not run.
    pub fn do_as_caller(&mut self) -> Result<Done, NotDone> {
        /// Seconds. Short, because the job holds the file's lock meanwhile.
        const AT_MOST: u32 = 5;
        // SAFETY: the call holds a reference to its xdata, or has none.
        if let Some(asked) = unsafe { DictRef::from_raw(self.inner.call.xdata) } {
            asked.remove(xattr::STATUS);
        }
        self.stamp(true);
        let mut done = Done {
            before: Attributes::blank(),
            after: Attributes::blank(),
        };
        let mut late = ptr::null_mut();
        // SAFETY: the operation is ours and not wound; everything outlives the call, which waits for the child.
        let result = unsafe {
            sys::cs_shim_call_as_caller(
                &raw mut self.inner.call,
                AT_MOST,
                &raw mut done.before.0,
                &raw mut done.after.0,
                &raw mut late,
            )
        };
        match (result, NonNull::new(late)) {
            (0, _) => Ok(done),
            (_, Some(late)) => Err(NotDone::Yet(Late(late))),
            (errno, None) => Err(NotDone::Refused(Errno::new(errno))),
        }
    }

    /// Stops waiting for an operation in flight: when it is answered, [`Ticket::take_late`] gets the ticket. If it has
    /// already been answered, returns the ticket and the answer.
    #[must_use]
    pub fn leave(self, late: Late) -> Option<(Self, Result<(), Errno>)> {
        let (mut before, mut after) = (Attributes::blank(), Attributes::blank());
        let inner = self.into_inner();
        // SAFETY: called once for an outcome; the ticket's box is transferred to C on EINPROGRESS, otherwise it stays
        // ours.
        let result = unsafe {
            sys::cs_shim_leave_call(
                late.0.as_ptr(),
                inner.cast(),
                &raw mut before.0,
                &raw mut after.0,
            )
        };
        if result == -libc::EINPROGRESS {
            return None;
        }
        // SAFETY: not transferred.
        let inner = unsafe { Box::from_raw(inner) };
        let ticket = Self {
            inner: ManuallyDrop::new(inner),
        };
        let answer = if result == 0 {
            Ok(())
        } else {
            Err(Errno::new(result))
        };
        Some((ticket, answer))
    }

    /// # Safety
    /// `raw` was passed on by [`Ticket::leave`], the operation has been answered, and `raw` is not used again.
    pub(crate) unsafe fn take_late(raw: NonNull<c_void>) -> Self {
        // SAFETY: by this function's contract.
        unsafe { Self::from_raw(raw) }
    }

    /// Answers an operation that [`Ticket::do_as_caller`] has run.
    pub fn answer_done(mut self, mut done: Done) {
        // SAFETY: the operation is ours; the attributes outlive the call.
        unsafe {
            sys::cs_shim_call_answer_done(
                &raw mut self.inner.call,
                &raw mut done.before.0,
                &raw mut done.after.0,
            );
        }
        self.dispose();
    }

    /// The file whose state the bricks check; for a copy, the destination.
    #[must_use]
    pub fn checked_inode(&self) -> Option<Inode> {
        let destination = self.inner.call.fd2;
        if destination.is_null() {
            return self.inode();
        }
        // SAFETY: the call holds a reference to the descriptor.
        let inode = unsafe { (*destination).inode };
        // SAFETY: the descriptor holds a reference to its inode.
        unsafe { Inode::from_raw(inode) }
    }

    /// What is known of the file's state. Does not allocate.
    #[must_use]
    pub fn known(&self) -> Known {
        // SAFETY: as above.
        unsafe { inode::known(self.raw_inode(), self.inner.this) }
    }

    /// Whether the file was seen local since a brick last disconnected. Does not allocate.
    #[must_use]
    pub fn is_surely_local(&self) -> bool {
        // SAFETY: as above.
        unsafe { inode::is_surely_local(self.raw_inode(), self.inner.this) }
    }

    /// The operation's arguments, for the shim.
    pub(crate) fn call(&self) -> *const sys::cs_call_t {
        &raw const self.inner.call
    }

    pub(crate) fn frame(&self) -> *mut sys::call_frame_t {
        self.inner.call.frame
    }

    /// Winds the operation to the child. `ask`: request keys to add.
    pub fn wind(mut self, ask: &[&CStr]) {
        if !ask.is_empty() {
            let call = &mut self.inner.call;
            if call.xdata.is_null() {
                match Dict::new() {
                    Ok(dict) => call.xdata = dict.into_raw(),
                    Err(errno) => return self.fail(errno),
                }
            }
            // SAFETY: the call holds a reference to its xdata.
            let asked = unsafe { DictRef::from_raw(call.xdata) }
                .map_or(Err(Errno::ENOMEM), |dict| {
                    ask.iter().try_for_each(|key| dict.ask(key))
                });
            if let Err(errno) = asked {
                return self.fail(errno);
            }
        }
        self.stamp(self.fop() == sys::glusterfs_fop_t::GF_FOP_DISCARD);
        let inner = self.into_inner();
        // SAFETY: the ticket's box.
        let call = unsafe { &raw mut (*inner).call };
        // SAFETY: the frame lives until the operation is answered; only we use its `local`.
        unsafe { (*(*call).frame).local = inner.cast() };
        // SAFETY: the answer may arrive on another thread before this returns, and takes the ticket from
        // `frame->local`. So nothing is accessed after the call.
        unsafe { sys::cs_shim_call_wind(call) };
    }

    /// Sets the operation's time. features/utime above us timestamps operations, except discards (a hole would then
    /// change no time and hide that the file changed) and opens that truncate. A parked operation's timestamp is stale,
    /// and the bricks ignore times earlier than the file's. `changes`: the operation changes the file, even if
    /// features/utime did not mark it so.
    fn stamp(&self, changes: bool) {
        /// `MDATA_CTIME | MDATA_MTIME` of the host's glusterfs/stack.h.
        const CHANGES: u32 = 3;
        // SAFETY: the frame and its root live until the operation is answered; nothing else uses them now.
        let root = unsafe { &mut *(*self.frame()).root };
        if changes {
            root.flags |= CHANGES;
        }
        if changes || (self.attempt() > 0 && root.flags & CHANGES != 0) {
            let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            root.ctime.tv_sec = now.as_secs() as i64;
            root.ctime.tv_nsec = now.subsec_nanos().into();
        }
    }

    /// Answers with success, for operations whose answer has no content.
    pub fn answer(self) {
        self.unwind(0, 0, None);
    }

    /// Answers a setxattr with the file's attributes before and after, as the bricks do. Without them, md-cache above
    /// us drops the file's cached attributes, by which it detects that the kernel's cached pages are outdated.
    pub fn answer_showing(self, attributes: &Attributes) {
        let shown = Dict::new().and_then(|dict| {
            dict.set_attributes(c"virt-gf-prestat", attributes)?;
            dict.set_attributes(c"virt-gf-poststat", attributes)?;
            Ok(dict)
        });
        let Ok(dict) = shown else {
            return self.answer();
        };
        self.unwind(0, 0, Some(&dict));
    }

    /// Answers a getxattr with the contents of `dict`.
    pub fn answer_with(self, dict: &Dict) {
        self.unwind(0, 0, Some(dict));
    }

    /// Answers a read with a part of the bytes in `buffer`, to which the answer refers, and `attributes`. `at_end`: the read
    /// reaches the end of the file.
    pub fn answer_bytes(
        mut self,
        buffer: &Buffer,
        part: Range<usize>,
        at_end: bool,
        attributes: &Attributes,
    ) {
        assert!(
            part.start <= part.end && part.end <= buffer.bytes().len(),
            "no such part"
        );
        let mut shown = *attributes;
        // SAFETY: all pointers are live, the part is within the buffer; the answer takes a reference to it.
        let answered = unsafe {
            sys::cs_shim_call_answer_read(
                &raw mut self.inner.call,
                buffer.as_ptr(),
                part.start,
                part.len(),
                at_end.into(),
                &raw mut shown.0,
            )
        };
        if answered == 0 {
            self.dispose();
        } else {
            self.fail(Errno::ENOMEM);
        }
    }

    /// Answers a seek with the offset that it found.
    pub fn answer_offset(mut self, offset: u64) {
        let Ok(offset) = i64::try_from(offset) else {
            return self.fail(Errno::EOVERFLOW);
        };
        // SAFETY: the operation is ours.
        unsafe { sys::cs_shim_call_answer_seek(&raw mut self.inner.call, offset) };
        self.dispose();
    }

    /// Answers with an error.
    pub fn fail(self, errno: Errno) {
        self.unwind(-1, errnos::answered(errno).get(), None);
    }

    fn unwind(mut self, op_ret: i32, op_errno: i32, answer: Option<&Dict>) {
        let answer = answer.map_or(ptr::null_mut(), Dict::as_ptr);
        // SAFETY: the operation is ours; the dictionary outlives the call. `frame->local` is NULL: it is set only
        // between wind and answer.
        unsafe { sys::cs_shim_call_unwind(&raw mut self.inner.call, op_ret, op_errno, answer) };
        self.dispose();
    }

    /// Frees an answered ticket.
    fn dispose(self) {
        // SAFETY: into_inner transfers the box.
        unsafe { Box::from_raw(self.into_inner()) }.wipe();
    }

    fn into_inner(self) -> *mut Inner {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once; `this` is not used again.
        Box::into_raw(unsafe { ManuallyDrop::take(&mut this.inner) })
    }

    /// # Safety
    /// `raw` comes from [`Ticket::into_inner`] and is not used again.
    unsafe fn from_raw(raw: NonNull<c_void>) -> Self {
        // SAFETY: by this function's contract.
        let inner = unsafe { Box::from_raw(raw.cast::<Inner>().as_ptr()) };
        Self {
            inner: ManuallyDrop::new(inner),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        log::error!(
            id = message::INTERNAL;
            "internal error: {self:?} was dropped without an answer and fails"
        );
        // SAFETY: taken once: this is the drop.
        let inner = unsafe { ManuallyDrop::take(&mut self.inner) };
        Self {
            inner: ManuallyDrop::new(inner),
        }
        .fail(Errno::EIO);
    }
}

/// A ticket that the child has answered, before the answer is unwound.
pub struct Settling {
    ticket: Ticket,
}

impl fmt::Debug for Settling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ticket.fmt(f)
    }
}

impl Settling {
    /// # Safety
    /// `raw` was `frame->local` of a wound ticket that the child has answered. It is not used again, except after
    /// [`Settling::let_go`].
    pub(crate) unsafe fn take(raw: NonNull<c_void>) -> Self {
        // SAFETY: by this function's contract.
        let ticket = unsafe { Ticket::from_raw(raw) };
        Self { ticket }
    }

    /// The operation.
    #[must_use]
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Returns the ticket, to be parked. The child's answer is discarded.
    #[must_use]
    pub fn into_ticket(mut self) -> Ticket {
        self.ticket.inner.unasked = None;
        self.ticket
    }

    /// Returns the ticket of a read whose answer did not have the label that was remembered: it asks from now on.
    #[must_use]
    pub fn into_asking(self) -> Ticket {
        let mut ticket = self.into_ticket();
        ticket.inner.must_ask = true;
        ticket
    }

    /// Answers a read from the object of its stub, which has the label that is remembered.
    pub fn read_stored(mut self) {
        match self.ticket.inner.unasked.take() {
            Some(Unasked::Stub(object)) => {
                self.ticket.inner.is_doubtful = true;
                object.read(self.ticket);
            }
            Some(Unasked::During(_) | Unasked::Label) | None => self.ticket.fail(Errno::EIO),
        }
    }

    /// Lets the answer be unwound: C does that, and then calls [`release`] with its pointer.
    pub(crate) fn let_go(self) {
        self.ticket.into_inner();
    }
}

/// An operation whose answer is delayed. Dropping it unwinds the answer.
#[derive(Debug)]
pub struct Answered {
    ticket: NonNull<c_void>,
    answer: NonNull<sys::call_stub_t>,
    this: Xlator,
}

// SAFETY: the host allows any thread to resume a call stub; this is its only owner.
unsafe impl Send for Answered {}

impl Answered {
    /// # Safety
    /// `ticket` was released by [`Settling::let_go`]; `answer` is a stub of its answer. Nothing else uses them.
    pub(crate) unsafe fn take(ticket: NonNull<c_void>, answer: NonNull<sys::call_stub_t>) -> Self {
        // SAFETY: the ticket's box, live until release.
        let this = unsafe { ticket.cast::<Inner>().as_ref() }.this;
        Self {
            ticket,
            answer,
            this,
        }
    }

    /// The instance that received the operation.
    #[must_use]
    pub const fn xlator(&self) -> Xlator {
        self.this
    }

    /// The operation's file.
    #[must_use]
    pub fn inode(&self) -> Option<Inode> {
        let arguments = Arguments { call: self.call() };
        // SAFETY: the call holds references to everything in its arguments.
        unsafe { Inode::from_raw(arguments.inode()) }
    }

    fn call(&self) -> &sys::cs_call_t {
        // SAFETY: the ticket's box, live until release.
        &unsafe { self.ticket.cast::<Inner>().as_ref() }.call
    }

    /// The file's gfid, which for a create is only in the answer.
    #[must_use]
    pub fn gfid(&self) -> Gfid {
        if self.is_create() {
            // SAFETY: the answer's stub is ours.
            return Gfid(unsafe { self.answer.as_ref() }.args_cbk.stat.ia_gfid);
        }
        self.inode().map_or(Gfid([0; 16]), |inode| inode.gfid())
    }

    fn is_create(&self) -> bool {
        self.call().fop == sys::glusterfs_fop_t::GF_FOP_CREATE
    }

    /// Corrects the file's attributes in the answer. If the answer to a create shows a cold file, the file existed
    /// before: answers ESTALE, after which the kernel looks the file up and opens it.
    pub fn show_cold(&mut self, size: u64) {
        if self.is_create() {
            // SAFETY: the answer's stub is ours.
            let results = unsafe { &mut self.answer.as_mut().args_cbk };
            results.op_ret = -1;
            results.op_errno = libc::ESTALE;
            return;
        }
        // SAFETY: the answer's stub is ours.
        let answer = unsafe { self.answer.as_mut() };
        let results = &mut answer.args_cbk;
        let attributes: &mut [&mut sys::iatt] = match answer.fop {
            // The other attributes are those of directories. The answer to a link has this form too.
            sys::glusterfs_fop_t::GF_FOP_RENAME => &mut [&mut results.stat],
            _ => &mut [&mut results.prestat, &mut results.poststat],
        };
        for iatt in attributes {
            let mut cold = Attributes(**iatt);
            cold.show_cold(size);
            **iatt = cold.0;
        }
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        // SAFETY: ours; resuming the stub unwinds the operation and destroys the stub.
        unsafe { sys::call_resume(self.answer.as_ptr()) };
        // SAFETY: the operation was unwound.
        unsafe { release(self.ticket) };
    }
}

/// Frees a ticket whose operation C has unwound.
///
/// # Safety
/// `raw` was released by [`Settling::let_go`] and is not used again.
pub(crate) unsafe fn release(raw: NonNull<c_void>) {
    // SAFETY: by this function's contract.
    unsafe { Box::from_raw(raw.cast::<Inner>().as_ptr()) }.wipe();
}
