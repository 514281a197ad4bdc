// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reads and corrects the child's answer before it is unwound.

use std::fmt;

use cloudsync_format::xattr;

use crate::host::attributes::Attributes;
use crate::host::dict::DictRef;
use crate::host::inode;
use crate::host::xlator::Xlator;
use crate::sys;
use cloudsync_logic::decision::Known;

/// The child's answer, before it is unwound.
pub struct Reply<'a> {
    raw: &'a mut sys::cs_reply_t,
}

impl fmt::Debug for Reply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {})", self.raw.op_ret, self.raw.op_errno)
    }
}

impl<'a> Reply<'a> {
    /// # Safety
    /// Everything that `raw` points to is live for `'a` and not used by others.
    pub(crate) unsafe fn from_raw(raw: &'a mut sys::cs_reply_t) -> Self {
        Self { raw }
    }

    /// The result: negative on failure.
    #[must_use]
    pub const fn op_ret(&self) -> i32 {
        self.raw.op_ret
    }

    /// The errno of a failure.
    #[must_use]
    pub const fn op_errno(&self) -> i32 {
        self.raw.op_errno
    }

    /// The answer's xdata.
    #[must_use]
    pub fn xdata(&self) -> Option<DictRef<'a>> {
        // SAFETY: the host keeps it alive until the callback returns.
        unsafe { DictRef::from_raw(self.raw.xdata) }
    }

    /// The attributes in the answer to a getxattr.
    #[must_use]
    pub fn xattrs(&self) -> Option<DictRef<'a>> {
        // SAFETY: the host keeps it alive until the callback returns.
        unsafe { DictRef::from_raw(self.raw.xattrs) }
    }

    /// The file's state, if the answer contains it.
    #[must_use]
    pub fn state(&self) -> Option<xattr::State> {
        self.xdata()?
            .number(xattr::STATUS)
            .map(xattr::State::from_wire)
    }

    /// The file's attributes after the operation.
    pub fn after(&mut self) -> Option<&mut Attributes> {
        // SAFETY: NULL or live until the callback returns; Attributes is a transparent iatt.
        unsafe { self.raw.buf.cast::<Attributes>().as_mut() }
    }

    /// The file's attributes before the operation.
    pub fn before(&mut self) -> Option<&mut Attributes> {
        // SAFETY: as above.
        unsafe { self.raw.prebuf.cast::<Attributes>().as_mut() }
    }

    /// Runs `body` on each entry of a directory listing.
    pub fn for_each_entry(&mut self, mut body: impl FnMut(&mut Entry<'_>)) {
        let head = self.raw.entries;
        if head.is_null() {
            return;
        }
        let mut current = std::ptr::null_mut();
        loop {
            // SAFETY: the list lives until the callback returns; `current` is one of its entries or NULL.
            current = unsafe { sys::cs_shim_next_entry(head, current) };
            // SAFETY: as above; nothing else uses the entry now.
            let Some(raw) = (unsafe { current.as_mut() }) else {
                break;
            };
            body(&mut Entry { raw });
        }
    }
}

/// One entry of a directory listing.
pub struct Entry<'a> {
    raw: &'a mut sys::gf_dirent_t,
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({})", self.raw.d_off)
    }
}

impl Entry<'_> {
    /// Its attributes.
    pub fn attributes(&mut self) -> &mut Attributes {
        let raw = &raw mut self.raw.d_stat;
        // SAFETY: a transparent wrapper, borrowed for as long as the entry is.
        unsafe { &mut *raw.cast::<Attributes>() }
    }

    /// The extended attributes that were requested.
    #[must_use]
    pub fn xattrs(&self) -> Option<DictRef<'_>> {
        // SAFETY: the entry holds a reference.
        unsafe { DictRef::from_raw(self.raw.dict) }
    }

    /// Removes the entry's inode, the host's convention for an entry that must be looked up before use.
    pub fn without_attributes(&mut self) {
        if !self.raw.inode.is_null() {
            // SAFETY: releases the entry's reference, once.
            unsafe { sys::inode_unref(self.raw.inode) };
            self.raw.inode = std::ptr::null_mut();
        }
    }

    /// What is known of the entry's state.
    #[must_use]
    pub fn known(&self, this: Xlator) -> Known {
        // SAFETY: the entry holds a reference to its inode, or has none.
        unsafe { inode::known(self.raw.inode, this) }
    }

    /// Remembers the entry's state as the bricks reported it.
    pub fn learn(&self, this: Xlator, known: Known) {
        // SAFETY: the entry holds a reference to its inode, or has none.
        unsafe { inode::learn(self.raw.inode, this, known) };
    }
}
