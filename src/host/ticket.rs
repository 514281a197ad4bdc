// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! An operation of the host's that has arrived and must be answered exactly once.
//!
//! A ticket is wound to the child ([`Ticket::wind`]; the answer brings it back through [`Settling`]), answered
//! ([`Ticket::answer`], [`Ticket::fail`]), or kept while its file is recalled. Dropping it answers EIO: so a panic
//! or a forgotten path fails one operation instead of hanging its caller for ever.

use std::ffi::{CStr, c_void};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

use cloudsync_format::xattr;

use crate::host::arguments::Arguments;
use crate::host::attributes::Attributes;
use crate::host::beside::Beside;
use crate::host::buffer::Buffer;
use crate::host::dict::{Dict, DictRef};
use crate::host::inode::{self, Inode};
use crate::host::xlator::Xlator;
use crate::sys;
use cloudsync_logic::decision::{Class, Known};
use cloudsync_logic::errno::Errno;
use cloudsync_logic::gfid::Gfid;

/// The one way from below back up: what those above us do with an operation. A ticket has it from where it arrived.
pub struct Route {
    /// Says what it means.
    pub classify: fn(&Arguments<'_>) -> Class,
    /// Does it from the beginning, in whatever state its file is by now. Never blocks.
    pub again: fn(Ticket),
    /// Serves a read from wherever its bytes are. Never blocks.
    pub read: fn(Ticket),
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Route")
    }
}

/// What the ticket carries from one attempt to the next.
struct Inner {
    /// The arguments, with references to everything they name.
    call: sys::cs_call_t,
    this: Xlator,
    route: &'static Route,
    class: Class,
    /// How often it was parked.
    attempt: u8,
    /// Of a read that is on the bricks while the file is recalled.
    during: Option<Box<dyn Beside>>,
    /// The file, if its arguments name it by an inode that was never linked: see [`Ticket::is_nameless`].
    file: Option<Inode>,
}

impl Inner {
    /// Of an operation that was answered.
    fn wipe(mut self: Box<Self>) {
        // SAFETY: nobody uses what the arguments name any more; they are not used again.
        unsafe { sys::cs_shim_call_wipe(&raw mut self.call) };
    }
}

/// The attributes in the answer to an operation that was done as its caller's.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    before: Attributes,
    after: Attributes,
}

/// Why an operation was not done as its caller's.
#[derive(Debug)]
pub enum NotDone {
    /// The bricks refuse it.
    Refused(Errno),
    /// They have not answered: it waits for a lock there.
    Yet(Late),
}

/// An operation that is on its way, for [`Ticket::leave`].
#[derive(Debug)]
pub struct Late(NonNull<c_void>);

// SAFETY: the shim locks what it points to.
unsafe impl Send for Late {}

/// See the module.
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
    /// Takes an operation that the host has just given to the shim. `route`: what becomes of it. `None`: there was no
    /// memory, and that was the answer.
    ///
    /// # Safety
    /// Everything that `call` names is live, and its frame's operation is nobody else's to wind or to unwind.
    pub(crate) unsafe fn arrive(
        this: Xlator,
        call: &sys::cs_call_t,
        route: &'static Route,
    ) -> Option<Self> {
        let mut inner = Box::new(Inner {
            call: *call,
            this,
            route,
            class: Class::Pass,
            attempt: 0,
            during: None,
            file: None,
        });
        let call = &raw mut inner.call;
        // SAFETY: live by the caller's word.
        if unsafe { sys::cs_shim_call_keep(call) } != 0 {
            // SAFETY: as above; nothing was kept.
            unsafe { sys::cs_shim_call_unwind(call, -1, libc::ENOMEM, ptr::null_mut()) };
            return None;
        }
        let mut ticket = Self {
            inner: ManuallyDrop::new(inner),
        };
        ticket.inner.class = (route.classify)(&ticket.arguments());
        Some(ticket)
    }

    /// The host's number of the operation.
    #[must_use]
    pub fn fop(&self) -> sys::glusterfs_fop_t::Type {
        self.inner.call.fop
    }

    /// What the operation means for a cold file.
    #[must_use]
    pub fn class(&self) -> Class {
        self.inner.class
    }

    /// How often it was parked.
    #[must_use]
    pub fn attempt(&self) -> u8 {
        self.inner.attempt
    }

    /// It is about to be parked.
    pub fn count_attempt(&mut self) {
        self.inner.attempt = self.inner.attempt.saturating_add(1);
    }

    /// Goes on, once what it waited for is so: its file is looked at as if it had just arrived. Never blocks.
    pub fn again(self) {
        (self.inner.route.again)(self);
    }

    /// A read goes on though its file does not come. Never blocks.
    pub fn read_again(self) {
        (self.inner.route.read)(self);
    }

    /// The recall that it reads beside, if it was wound so.
    #[must_use]
    pub fn during(&self) -> Option<&dyn Beside> {
        self.inner.during.as_deref()
    }

    /// The instance it came to.
    #[must_use]
    pub fn xlator(&self) -> Xlator {
        self.inner.this
    }

    /// Its arguments.
    #[must_use]
    pub fn arguments(&self) -> Arguments<'_> {
        Arguments {
            call: &self.inner.call,
        }
    }

    /// The file that it is about: of a copy the source.
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

    /// Whether its file is known by a descriptor alone: of threads that create one file at once, all but one have a
    /// descriptor whose inode never gets the file's identity.
    #[must_use]
    pub fn is_nameless(&self) -> bool {
        self.arguments().has_descriptor()
            && self.inode().is_some_and(|inode| inode.gfid().is_none())
    }

    /// The file that a nameless operation is about.
    pub fn name(&mut self, file: Inode) {
        self.inner.file = Some(file);
    }

    /// Its descriptor's address, for the functions that work on it.
    pub(crate) fn descriptor(&self) -> *mut sys::fd_t {
        self.inner.call.fd
    }

    /// Makes a removal of an attribute remove another one.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn rename(&mut self, name: &CStr) -> Result<(), Errno> {
        // SAFETY: the call is ours, and so is the name in it; the shim copies the new one.
        match unsafe { sys::cs_shim_call_rename(&raw mut self.inner.call, name.as_ptr()) } {
            0 => Ok(()),
            _ => Err(Errno::ENOMEM),
        }
    }

    /// Has the child do the operation, a truncation or an open, as its caller's, whatever the file's state. It is still to
    /// be answered: [`Ticket::answer_done`]. Blocks, but not for long.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn do_as_caller(&mut self) -> Result<Done, NotDone> {
        /// In seconds. The job has the file's lock meanwhile.
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

    /// Leaves an operation that is on its way: once it is answered, [`Ticket::take_late`] has it. Gives it back if that has
    /// happened, with the answer.
    #[must_use]
    pub fn leave(self, late: Late) -> Option<(Self, Result<(), Errno>)> {
        let (mut before, mut after) = (Attributes::blank(), Attributes::blank());
        let inner = self.into_inner();
        // SAFETY: the outcome is left once; the ticket's box is C's if it says so, and ours otherwise.
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
        // SAFETY: not taken.
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
    /// `raw` was left by [`Ticket::leave`], and its answer has come; it is not used again.
    pub(crate) unsafe fn take_late(raw: NonNull<c_void>) -> Self {
        // SAFETY: by the caller's word.
        unsafe { Self::from_raw(raw) }
    }

    /// Answers an operation that [`Ticket::do_as_caller`] has done.
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

    /// The file whose state the bricks check: of a copy the destination.
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

    /// What is known of its file. Allocates nothing.
    #[must_use]
    pub fn known(&self) -> Known {
        // SAFETY: as above.
        unsafe { inode::known(self.raw_inode(), self.inner.this) }
    }

    /// Whether the file was local when somebody looked at it since the bricks went away last. Allocates nothing.
    #[must_use]
    pub fn is_surely_local(&self) -> bool {
        // SAFETY: as above.
        unsafe { inode::is_surely_local(self.raw_inode(), self.inner.this) }
    }

    pub(crate) fn frame(&self) -> *mut sys::call_frame_t {
        self.inner.call.frame
    }

    /// Winds the operation to the child. `ask` are request keys to add.
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
        // SAFETY: the frame lives until the operation is answered; nobody but us uses its `local`.
        unsafe { (*(*call).frame).local = inner.cast() };
        // SAFETY: the answer may come on another thread before this returns, and takes the ticket through
        // `frame->local`: nothing is touched after it.
        unsafe { sys::cs_shim_call_wind(call) };
    }

    /// Winds a read to the child without asking for the state: a recall says that these bytes are there.
    pub fn wind_during(mut self, recall: Box<dyn Beside>) {
        // SAFETY: the call holds a reference to its xdata, or has none.
        if let Some(asked) = unsafe { DictRef::from_raw(self.inner.call.xdata) } {
            asked.remove(xattr::STATUS);
        }
        self.inner.during = Some(recall);
        self.wind(&[]);
    }

    /// features/utime above us has said when the operation is, but not for a discard (so that a hole moves no time, and
    /// nobody sees that the file changed) or an open that truncates, and long ago if it was parked: the bricks ignore what is
    /// earlier than what they have. `changes`: it changes the file, whatever features/utime said.
    fn stamp(&self, changes: bool) {
        /// `MDATA_CTIME | MDATA_MTIME` of the host's glusterfs/stack.h.
        const CHANGES: u32 = 3;
        // SAFETY: the frame and its root live until the operation is answered; nobody else works on them now.
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

    /// Answers with success and nothing else: for operations whose answer has no content.
    pub fn answer(self) {
        self.unwind(0, 0, None);
    }

    /// Answers a setxattr with the attributes that the file has before and after it, as the bricks do. md-cache above
    /// forgets what it knew of a file when they are missing, and with it that the kernel's pages are of an older one.
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

    /// Answers getxattr with what is in `dict`.
    pub fn answer_with(self, dict: &Dict) {
        self.unwind(0, 0, Some(dict));
    }

    /// Answers a read with what is in `buffer`. `at_end`: the file has no more. The answer shows `attributes`.
    pub fn answer_bytes(mut self, buffer: &Buffer, at_end: bool, attributes: &Attributes) {
        let mut shown = *attributes;
        // SAFETY: all pointers are live; the answer takes a reference to the buffer.
        let answered = unsafe {
            sys::cs_shim_call_answer_read(
                &raw mut self.inner.call,
                buffer.as_ptr(),
                buffer.bytes().len(),
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

    /// Answers with an error.
    pub fn fail(self, errno: Errno) {
        self.unwind(-1, errno.get(), None);
    }

    fn unwind(mut self, op_ret: i32, op_errno: i32, answer: Option<&Dict>) {
        let answer = answer.map_or(ptr::null_mut(), Dict::as_ptr);
        // SAFETY: the operation is ours; what it answers with outlives the call. `frame->local` is NULL: it is set only
        // between wind and answer.
        unsafe { sys::cs_shim_call_unwind(&raw mut self.inner.call, op_ret, op_errno, answer) };
        self.dispose();
    }

    /// Frees what was answered.
    fn dispose(self) {
        // SAFETY: into_inner gave the box away.
        unsafe { Box::from_raw(self.into_inner()) }.wipe();
    }

    fn into_inner(self) -> *mut Inner {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once, `this` is not used any more.
        Box::into_raw(unsafe { ManuallyDrop::take(&mut this.inner) })
    }

    /// # Safety
    /// `raw` comes from [`Ticket::into_inner`] and is not used again.
    unsafe fn from_raw(raw: NonNull<c_void>) -> Self {
        // SAFETY: by the caller's word.
        let inner = unsafe { Box::from_raw(raw.cast::<Inner>().as_ptr()) };
        Self {
            inner: ManuallyDrop::new(inner),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        log::error!("internal error: {self:?} was dropped without an answer, it fails");
        // SAFETY: taken once: this is the drop.
        let inner = unsafe { ManuallyDrop::take(&mut self.inner) };
        Self {
            inner: ManuallyDrop::new(inner),
        }
        .fail(Errno::EIO);
    }
}

/// A ticket whose answer has come back and is about to go up.
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
    /// `raw` was `frame->local` of a wound ticket whose answer has come; it is not used again but through
    /// [`Settling::let_go`]'s result.
    pub(crate) unsafe fn take(raw: NonNull<c_void>) -> Self {
        // SAFETY: by the caller's word.
        let ticket = unsafe { Ticket::from_raw(raw) };
        Self { ticket }
    }

    /// The operation.
    #[must_use]
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Takes it back, to be parked: the answer that came is thrown away.
    #[must_use]
    pub fn into_ticket(mut self) -> Ticket {
        self.ticket.inner.during = None;
        self.ticket
    }

    /// The answer goes up: C unwinds and then calls [`release`] with the pointer it has.
    pub(crate) fn let_go(self) {
        self.ticket.into_inner();
    }
}

/// An operation whose answer waits to go up. Dropping it sends it.
#[derive(Debug)]
pub struct Answered {
    ticket: NonNull<c_void>,
    answer: NonNull<sys::call_stub_t>,
    this: Xlator,
}

// SAFETY: the host lets any thread resume a call stub; this is its only owner.
unsafe impl Send for Answered {}

impl Answered {
    /// # Safety
    /// `ticket` was let go by [`Settling::let_go`]; `answer` is a stub of its answer. Nobody else uses them.
    pub(crate) unsafe fn take(ticket: NonNull<c_void>, answer: NonNull<sys::call_stub_t>) -> Self {
        // SAFETY: the ticket's box, live until release.
        let this = unsafe { ticket.cast::<Inner>().as_ref() }.this;
        Self {
            ticket,
            answer,
            this,
        }
    }

    /// The instance it came to.
    #[must_use]
    pub const fn xlator(&self) -> Xlator {
        self.this
    }

    /// The file that it is about.
    #[must_use]
    pub fn inode(&self) -> Option<Inode> {
        let arguments = Arguments { call: self.call() };
        // SAFETY: the call holds a reference to what its arguments name.
        unsafe { Inode::from_raw(arguments.inode()) }
    }

    fn call(&self) -> &sys::cs_call_t {
        // SAFETY: the ticket's box, live until release.
        &unsafe { self.ticket.cast::<Inner>().as_ref() }.call
    }

    /// The file's identity: of one that was created only the answer knows it.
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

    /// Corrects the file's attributes in the answer. A file that was created and is cold was there before: on ESTALE
    /// the kernel looks again, finds it, and opens it.
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
            // The file's, among those of directories. A link's answer has this shape too.
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
        // SAFETY: ours; resumes it, which unwinds, and destroys it.
        unsafe { sys::call_resume(self.answer.as_ptr()) };
        // SAFETY: the operation was unwound.
        unsafe { release(self.ticket) };
    }
}

/// Frees a ticket whose operation C has unwound.
///
/// # Safety
/// `raw` was let go by [`Settling::let_go`] and is not used again.
pub(crate) unsafe fn release(raw: NonNull<c_void>) {
    // SAFETY: by the caller's word.
    unsafe { Box::from_raw(raw.cast::<Inner>().as_ptr()) }.wipe();
}
