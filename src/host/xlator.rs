// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Wraps the host's translators: name, children, position in the graph, and the current translator of a thread.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::NonNull;

use crate::sys;

/// A handle to a translator: our own instance, or one that a plugin sees.
///
/// The host frees a translator only after its `fini`, which waits for our jobs; in a process that never calls
/// `fini` (every FUSE client) it lives to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xlator(NonNull<sys::xlator_t>);

// SAFETY: the host shares translators between threads; the fields that we read (name, options, children, ctx) do not
// change after init.
unsafe impl Send for Xlator {}
// SAFETY: as above; nothing is written through a shared handle.
unsafe impl Sync for Xlator {}

impl Xlator {
    /// # Safety
    /// `raw` must be a live translator that outlives every copy of the handle.
    #[must_use]
    pub(crate) unsafe fn from_raw(raw: *mut sys::xlator_t) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }

    pub(crate) const fn as_ptr(self) -> *mut sys::xlator_t {
        self.0.as_ptr()
    }

    /// The translator's name: the volume's name followed by `-cloudsync`. The host's log lines begin with it.
    #[must_use]
    pub fn name(self) -> String {
        // SAFETY: live by the handle's contract; the name is set before init and never changes.
        let name: *const c_char = unsafe { (*self.as_ptr()).name };
        if name.is_null() {
            return String::from("cloudsync");
        }
        // SAFETY: a C string of the host.
        unsafe { CStr::from_ptr(name) }
            .to_string_lossy()
            .into_owned()
    }

    /// The first translator below.
    #[must_use]
    pub fn first_child(self) -> Option<Self> {
        // SAFETY: live; the shim reads its list of children.
        let child = unsafe { sys::cs_shim_first_child(self.as_ptr()) };
        // SAFETY: children live as long as their parents, because they are in the same graph.
        unsafe { Self::from_raw(child) }
    }

    /// The number of translators directly below.
    #[must_use]
    pub fn children(self) -> i32 {
        // SAFETY: live.
        unsafe { sys::cs_shim_child_count(self.as_ptr()) }
    }

    /// Whether a translator of type `kind` is above this one, directly or indirectly.
    #[must_use]
    pub fn is_below(self, kind: &CStr) -> bool {
        self.finds(kind, |xlator| xlator.parents)
    }

    /// Whether a translator of type `kind` is below this one, directly or indirectly.
    #[must_use]
    pub fn is_above(self, kind: &CStr) -> bool {
        self.finds(kind, |xlator| xlator.children)
    }

    /// Whether one of the translators that `next` leads to, directly or indirectly, is of type `kind`.
    fn finds(self, kind: &CStr, next: fn(&sys::xlator_t) -> *mut sys::xlator_list_t) -> bool {
        // SAFETY: live; the lists of parents and children do not change after init.
        let mut link = next(unsafe { &*self.as_ptr() });
        // SAFETY: the host's list, in the same graph.
        while let Some(this) = unsafe { link.as_ref() } {
            // SAFETY: all translators of a graph live as long as it does.
            let found = unsafe { Self::from_raw(this.xlator) };
            if found.is_some_and(|found| found.is_of_type(kind) || found.finds(kind, next)) {
                return true;
            }
            link = this.next;
        }
        false
    }

    fn is_of_type(self, kind: &CStr) -> bool {
        // SAFETY: live; the type is set before init and never changes.
        let mine: *const c_char = unsafe { (*self.as_ptr()).type_ };
        // SAFETY: a C string of the host.
        !mine.is_null() && unsafe { CStr::from_ptr(mine) } == kind
    }

    /// Makes this the current translator of this thread until the guard is dropped.
    ///
    /// Required before any call into the host: on our own threads, the current translator is initially the host's
    /// global one, whose memory accounting does not know our types.
    #[must_use]
    pub fn enter(self) -> Entered {
        // SAFETY: reads a thread-local of the host.
        let before = unsafe { sys::cs_shim_this() };
        // SAFETY: live.
        unsafe { sys::cs_shim_set_this(self.as_ptr()) };
        Entered { before }
    }

    /// `this->private`, as we set it.
    pub(crate) fn private(self) -> *mut c_void {
        // SAFETY: live; written only in init and fini, which the host does not run concurrently with operations.
        unsafe { (*self.as_ptr()).private }
    }
}

/// Restores the previous current translator on drop. Must be dropped on the thread that created it.
#[derive(Debug)]
pub struct Entered {
    before: *mut sys::xlator_t,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // SAFETY: it was current when the guard was created; an outer caller keeps it alive.
        unsafe { sys::cs_shim_set_this(self.before) };
    }
}
