// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Access to the arguments of an operation, as the host passes them and its ticket keeps them.

use std::ffi::CStr;
use std::fmt;

use crate::host::dict::DictRef;
use crate::sys;
use cloudsync_logic::gfid::Gfid;

/// The arguments of an operation.
#[derive(Clone, Copy)]
pub struct Arguments<'a> {
    pub(super) call: &'a sys::cs_call_t,
}

impl fmt::Debug for Arguments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arguments(fop {})", self.call.fop)
    }
}

impl<'a> Arguments<'a> {
    /// The arguments of an operation that has just arrived.
    ///
    /// # Safety
    /// Everything that `call` refers to is live for `'a`.
    pub(crate) const unsafe fn borrowed(call: &'a sys::cs_call_t) -> Self {
        Self { call }
    }

    /// The operation's number in the host's enumeration.
    #[must_use]
    pub const fn fop(&self) -> sys::glusterfs_fop_t::Type {
        self.call.fop
    }

    pub(crate) fn inode(&self) -> *mut sys::inode_t {
        let args = self.call;
        if args.fd.is_null() || self.call.fop == sys::glusterfs_fop_t::GF_FOP_OPEN {
            args.loc.inode
        } else {
            // SAFETY: the ticket or the caller holds a reference to the descriptor, which holds one to its inode.
            unsafe { (*args.fd).inode }
        }
    }

    /// Whether it is an operation on an open descriptor.
    #[must_use]
    pub fn has_descriptor(&self) -> bool {
        !self.call.fd.is_null() && self.call.fop != sys::glusterfs_fop_t::GF_FOP_OPEN
    }

    /// Whether the inode is known not to be a regular file.
    #[must_use]
    pub fn is_not_a_file(&self) -> bool {
        let inode = self.inode();
        if inode.is_null() {
            return false;
        }
        // SAFETY: the ticket or the caller holds a reference; the type is set once, when the inode is linked.
        let kind = unsafe { (*inode).ia_type };
        kind != sys::ia_type_t::IA_INVAL && kind != sys::ia_type_t::IA_IFREG
    }

    /// The flags of an open.
    #[must_use]
    pub const fn flags(&self) -> i32 {
        self.call.flags
    }

    /// Whether it is a write at the end of the file, wherever that is: its descriptor was opened with `O_APPEND`.
    #[must_use]
    pub fn appends(&self) -> bool {
        if self.call.fop != sys::glusterfs_fop_t::GF_FOP_WRITE || self.call.fd.is_null() {
            return false;
        }
        // SAFETY: the ticket or the caller holds a reference to the descriptor; the flags are set when it is opened.
        let opened = unsafe { (*self.call.fd).flags };
        (opened | self.call.flags) & libc::O_APPEND != 0
    }

    /// The offset of a data operation, or the new size of a truncation, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        u64::try_from(self.call.offset).unwrap_or(0)
    }

    /// The size of a read in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.call.size as u64
    }

    /// Whether a seek looks for data (SEEK_DATA), not for a hole.
    #[must_use]
    pub const fn seeks_data(&self) -> bool {
        self.call.mode == sys::gf_seek_what_t::GF_SEEK_DATA as i32
    }

    /// The gfid that a new file is to get, if one was requested.
    #[must_use]
    pub fn new_gfid(&self) -> Option<Gfid> {
        // SAFETY: the ticket or the caller holds a reference for as long as the borrow lasts.
        let xdata = unsafe { DictRef::from_raw(self.call.xdata) }?;
        xdata.gfid(c"gfid-req")
    }

    /// The attribute that a getxattr requests; empty if it requests all.
    #[must_use]
    pub fn name(&self) -> &'a CStr {
        let name = self.call.name;
        if name.is_null() {
            return c"";
        }
        // SAFETY: the ticket or the caller holds a copy for as long as the borrow lasts.
        unsafe { CStr::from_ptr(name) }
    }

    /// The attributes that a setxattr sets.
    #[must_use]
    pub fn xattr(&self) -> Option<DictRef<'a>> {
        // SAFETY: the ticket or the caller holds a reference for as long as the borrow lasts.
        unsafe { DictRef::from_raw(self.call.xattr) }
    }

    /// The request's dictionary, with the keys that the caller asks for.
    #[must_use]
    pub fn xdata(&self) -> Option<DictRef<'a>> {
        // SAFETY: the ticket or the caller holds a reference for as long as the borrow lasts.
        unsafe { DictRef::from_raw(self.call.xdata) }
    }

    /// Who has called.
    fn root(&self) -> &sys::call_stack_t {
        // SAFETY: frame and root live until the operation is answered.
        unsafe { &*(*self.call.frame).root }
    }

    /// The caller's process id; negative for some of the host's own programs (`GF_CLIENT_PID_...`).
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.root().pid
    }

    /// The process that works on the file: the caller, or, while the kernel reads ahead (0), who opened the descriptor.
    #[must_use]
    pub fn worker(&self) -> i32 {
        let pid = self.pid();
        if pid != 0 || !self.has_descriptor() {
            return pid;
        }
        // SAFETY: the ticket or the caller holds a reference to the descriptor; both fields are set when it is created.
        let (anonymous, opener) = unsafe { ((*self.call.fd).anonymous, (*self.call.fd).pid) };
        if anonymous {
            return pid;
        }
        i32::try_from(opener).unwrap_or(0)
    }

    /// The group id that the operation runs as.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.root().gid
    }

    /// The user id that the operation runs as.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.root().uid
    }
}
