// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The host's inodes and locations, and what we remember of a file: two numbers in the inode's context, which need neither
//! allocation nor clean-up.

use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::host::xlator::Xlator;
use crate::sys;
use cloudsync_logic::decision::Known;
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::labels::Looks;

/// A reference to one of the host's inodes.
#[derive(Debug)]
pub struct Inode(NonNull<sys::inode_t>);

// SAFETY: the host shares inodes between threads, and locks their reference count and context.
unsafe impl Send for Inode {}
// SAFETY: as above.
unsafe impl Sync for Inode {}

impl Inode {
    /// Takes a reference.
    ///
    /// # Safety
    /// `raw` is NULL or a live inode.
    pub(crate) unsafe fn from_raw(raw: *mut sys::inode_t) -> Option<Self> {
        // SAFETY: live by this function's contract; NULL gives NULL.
        NonNull::new(unsafe { sys::inode_ref(raw) }).map(Self)
    }

    pub(crate) const fn as_ptr(&self) -> *mut sys::inode_t {
        self.0.as_ptr()
    }

    /// The file's identity; all zeros before its first lookup.
    #[must_use]
    pub fn gfid(&self) -> Gfid {
        // SAFETY: we hold a reference; the gfid is set once, when the inode is linked.
        Gfid(unsafe { (*self.as_ptr()).gfid })
    }

    /// The inode of the file `gfid` in the same table, if this client knows one.
    #[must_use]
    pub fn linked(&self, gfid: Gfid) -> Option<Self> {
        // SAFETY: we hold a reference; a table lives as long as its inodes.
        let table = unsafe { (*self.as_ptr()).table };
        let mut id = gfid.0;
        // SAFETY: as above; the id is read only. The reference becomes ours.
        NonNull::new(unsafe { sys::inode_find(table, id.as_mut_ptr()) }).map(Self)
    }

    /// A directory that contains the file, as far as this client knows.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        // SAFETY: we hold a reference; NULL stands for "any name". The reference becomes ours.
        let parent = unsafe { sys::inode_parent(self.as_ptr(), ptr::null_mut(), ptr::null()) };
        NonNull::new(parent).map(Self)
    }

    /// The file's path as this client knows it, or its gfid.
    #[must_use]
    pub fn path(&self) -> String {
        Loc::of(self, self.gfid()).map_or_else(|| self.gfid().to_string(), |loc| loc.path())
    }

    /// What is known of the file's state.
    #[must_use]
    pub fn known(&self, this: Xlator) -> Known {
        // SAFETY: we hold a reference.
        unsafe { known(self.as_ptr(), this) }
    }

    /// Remembers the file's state as the bricks reported it.
    pub fn learn(&self, this: Xlator, known: Known) {
        // SAFETY: we hold a reference.
        unsafe { learn(self.as_ptr(), this, known) };
    }
}

impl Clone for Inode {
    fn clone(&self) -> Self {
        // SAFETY: we hold a reference; another one is taken.
        unsafe { sys::inode_ref(self.as_ptr()) };
        Self(self.0)
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        // SAFETY: our reference, given back once.
        unsafe { sys::inode_unref(self.as_ptr()) };
    }
}

/// How often a brick of any volume has disconnected or connected. What was learnt earlier may be outdated, because the bricks
/// may have restarted with other options, or are healed.
static LOSSES: AtomicU64 = AtomicU64::new(0);

/// Marks all that is known of files as outdated, see [`crate::bricks`].
pub fn age() {
    LOSSES.fetch_add(1, Ordering::AcqRel);
}

/// How often that has happened.
pub fn era() -> u64 {
    LOSSES.load(Ordering::Acquire) & SIZE
}

const LOCAL: u64 = 1 << 62;
const COLD: u64 = 2 << 62;
const SIZE: u64 = LOCAL - 1;

/// # Safety
/// `inode` is NULL or live.
pub(crate) unsafe fn known(inode: *mut sys::inode_t, this: Xlator) -> Known {
    let mut value = 0;
    if inode.is_null() {
        return Known::Unknown;
    }
    // SAFETY: live; the host locks the inode. On failure (nothing stored) `value` stays 0.
    unsafe { sys::inode_ctx_get0(inode, this.as_ptr(), &raw mut value) };
    match value & !SIZE {
        LOCAL => Known::Local,
        COLD => Known::Cold { size: value & SIZE },
        _ => Known::Unknown,
    }
}

/// # Safety
/// `inode` is NULL or live.
pub(crate) unsafe fn is_surely_local(inode: *mut sys::inode_t, this: Xlator) -> bool {
    let mut value = 0;
    if !inode.is_null() {
        // SAFETY: live; the host locks the inode.
        unsafe { sys::inode_ctx_get0(inode, this.as_ptr(), &raw mut value) };
    }
    value == LOCAL | era()
}

/// # Safety
/// `inode` is NULL or live.
pub(crate) unsafe fn learn(inode: *mut sys::inode_t, this: Xlator, known: Known) {
    let mut value = match known {
        Known::Unknown => 0,
        Known::Local => LOCAL | era(),
        Known::Cold { size } => COLD | size.min(SIZE),
    };
    if !inode.is_null() {
        // SAFETY: live; the host locks the inode and copies the value. If it fails (no memory), a later operation needs
        // one more round trip.
        unsafe { sys::inode_ctx_set0(inode, this.as_ptr(), &raw mut value) };
    }
}

/// The looks at the file's label, see [`cloudsync_logic::labels`].
///
/// # Safety
/// `inode` is NULL or live.
pub(crate) unsafe fn looks(inode: *mut sys::inode_t, this: Xlator) -> Looks {
    let mut value = 0;
    if !inode.is_null() {
        // SAFETY: live; the host locks the inode. On failure (nothing stored) `value` stays 0.
        unsafe { sys::inode_ctx_get1(inode, this.as_ptr(), &raw mut value) };
    }
    Looks::from_number(value)
}

/// # Safety
/// `inode` is NULL or live.
pub(crate) unsafe fn remember(inode: *mut sys::inode_t, this: Xlator, looks: Looks) {
    let mut value = looks.number();
    if !inode.is_null() {
        // SAFETY: live; the host locks the inode and copies the value. If it fails (no memory), more reads ask.
        unsafe { sys::inode_ctx_set1(inode, this.as_ptr(), &raw mut value) };
    }
}

/// A file's location, as operations by path take it.
pub struct Loc(sys::loc_t);

impl fmt::Debug for Loc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loc({})", self.path())
    }
}

impl Loc {
    /// Returns the location of the file `gfid`. `inode` may not be linked yet: that of a lookup is linked after its
    /// answer has been unwound.
    ///
    /// The path is one of the file's names if this client knows any, otherwise it is made of the gfid. `None`: no
    /// memory.
    #[must_use]
    pub fn of(inode: &Inode, gfid: Gfid) -> Option<Self> {
        // SAFETY: all zeros is the host's empty loc_t.
        let mut loc = Self(unsafe { std::mem::zeroed() });
        // SAFETY: we hold a reference to the inode; the shim takes its own, which the drop releases.
        let filled =
            unsafe { sys::cs_shim_loc_fill(&raw mut loc.0, inode.as_ptr(), gfid.0.as_ptr()) };
        (filled == 0).then_some(loc)
    }

    pub(crate) const fn as_ptr(&self) -> *mut sys::loc_t {
        (&raw const self.0).cast_mut()
    }

    /// The path in the volume, beginning with a slash, or `<gfid:...>`.
    #[must_use]
    pub fn path(&self) -> String {
        if self.0.path.is_null() {
            return String::new();
        }
        // SAFETY: a C string that lives as long as the loc.
        unsafe { std::ffi::CStr::from_ptr(self.0.path) }
            .to_string_lossy()
            .into_owned()
    }
}

impl Drop for Loc {
    fn drop(&mut self) {
        // SAFETY: releases the constructor's references, once.
        unsafe { sys::loc_wipe(&raw mut self.0) };
    }
}
