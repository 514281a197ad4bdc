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
        // SAFETY: live; the list of parents does not change after init.
        let mut parent = unsafe { (*self.as_ptr()).parents };
        // SAFETY: the host's list, in the same graph.
        while let Some(link) = unsafe { parent.as_ref() } {
            // SAFETY: parents live as long as their children.
            let above = unsafe { Self::from_raw(link.xlator) };
            if above.is_some_and(|above| above.is_of_type(kind) || above.is_below(kind)) {
                return true;
            }
            parent = link.next;
        }
        false
    }

    /// Whether a translator of type `kind` is below this one, directly or indirectly.
    #[must_use]
    pub fn is_above(self, kind: &CStr) -> bool {
        // SAFETY: live; the list of children does not change after init.
        let mut child = unsafe { (*self.as_ptr()).children };
        // SAFETY: the host's list, in the same graph.
        while let Some(link) = unsafe { child.as_ref() } {
            // SAFETY: children live as long as their parents.
            let below = unsafe { Self::from_raw(link.xlator) };
            if below.is_some_and(|below| below.is_of_type(kind) || below.is_above(kind)) {
                return true;
            }
            child = link.next;
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
