// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The translator instance as the host made it: its name, its child, its options, and "who is current".

use std::ffi::{CStr, c_char, c_void};
use std::ptr::NonNull;

use crate::sys;

/// A translator of the host's: our own instance, or one that a plugin sees.
///
/// The host frees a translator only after its `fini`, which waits for our jobs; in a process that never calls
/// `fini` (every FUSE client) it lives to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xlator(NonNull<sys::xlator_t>);

// SAFETY: the host passes its translators between threads freely; the fields that we read (name, options,
// children, ctx) do not change after init.
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

    /// The volume's name with `-cloudsync` behind it: what the host's log lines begin with.
    #[must_use]
    pub fn name(self) -> String {
        // SAFETY: live by the handle's contract; the name is set before init and never changes.
        let name: *const c_char = unsafe { (*self.as_ptr()).name };
        if name.is_null() {
            return String::from("cloudsync");
        }
        // SAFETY: a C string of the host's.
        unsafe { CStr::from_ptr(name) }
            .to_string_lossy()
            .into_owned()
    }

    /// The translator below.
    #[must_use]
    pub fn first_child(self) -> Option<Self> {
        // SAFETY: live; the shim reads its list of children.
        let child = unsafe { sys::cs_shim_first_child(self.as_ptr()) };
        // SAFETY: children live as long as their parents: they are of the same graph.
        unsafe { Self::from_raw(child) }
    }

    /// How many translators are below.
    #[must_use]
    pub fn children(self) -> i32 {
        // SAFETY: live.
        unsafe { sys::cs_shim_child_count(self.as_ptr()) }
    }

    /// Whether a translator of that type is above, at any distance.
    #[must_use]
    pub fn is_below(self, kind: &CStr) -> bool {
        // SAFETY: live; the list of parents does not change after init.
        let mut parent = unsafe { (*self.as_ptr()).parents };
        // SAFETY: the host's list, of the same graph.
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

    fn is_of_type(self, kind: &CStr) -> bool {
        // SAFETY: live; the type is set before init and never changes.
        let mine: *const c_char = unsafe { (*self.as_ptr()).type_ };
        // SAFETY: a C string of the host's.
        !mine.is_null() && unsafe { CStr::from_ptr(mine) } == kind
    }

    /// Makes this the current translator of this thread until the guard is dropped.
    ///
    /// Foreign threads start with the host's global one, whose memory accounting does not know our types: set this
    /// before any call into the host.
    #[must_use]
    pub fn enter(self) -> Entered {
        // SAFETY: reads a thread-local of the host's.
        let before = unsafe { sys::cs_shim_this() };
        // SAFETY: live.
        unsafe { sys::cs_shim_set_this(self.as_ptr()) };
        Entered { before }
    }

    /// `this->private`, as we set it.
    pub(crate) fn private(self) -> *mut c_void {
        // SAFETY: live; written in init and fini only, which the host does not run beside operations.
        unsafe { (*self.as_ptr()).private }
    }
}

/// Restores the translator that was current before. Must stay on its thread.
#[derive(Debug)]
pub struct Entered {
    before: *mut sys::xlator_t,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // SAFETY: it was current when the guard was made; an outer caller keeps it alive.
        unsafe { sys::cs_shim_set_this(self.before) };
    }
}
