// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Our own descriptors, by which jobs and handshakes read, write and change a file.

use std::ptr::NonNull;

use crate::host::inode::{Inode, Loc};
use crate::sys;
use cloudsync_logic::errno::{Errno, Failure};

/// A reference to a descriptor.
#[derive(Debug)]
pub struct Fd(NonNull<sys::fd_t>);

// SAFETY: the host counts and locks its descriptors; every function that takes one may be called on any thread.
unsafe impl Send for Fd {}
// SAFETY: as above; nothing is written through a shared handle.
unsafe impl Sync for Fd {}

impl Fd {
    /// Returns a descriptor by which this client has the file open, if there is one.
    #[must_use]
    pub fn of(loc: &Loc) -> Option<Self> {
        // SAFETY: the loc is live and holds a reference to its inode; 0 is any process. The reference becomes ours.
        NonNull::new(unsafe { sys::fd_lookup((*loc.as_ptr()).inode, 0) }).map(Self)
    }

    /// Returns an anonymous descriptor, which needs no open and no close: the bricks open the file for each operation.
    /// For a few operations this is cheaper than the two requests. NFS servers use such descriptors, so every volume
    /// layout supports them.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn anonymous(loc: &Loc) -> Result<Self, Failure> {
        // SAFETY: the loc is live and holds a reference to its inode, which the descriptor takes too; NULL means no memory.
        // The reference becomes ours.
        let raw = NonNull::new(unsafe { sys::fd_anonymous((*loc.as_ptr()).inode) });
        raw.map(Self).ok_or(Failure::Brick {
            step: "open",
            errno: Errno::ENOMEM,
        })
    }

    /// Returns a new descriptor, to be opened by the child.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub(super) fn unopened(inode: &Inode) -> Result<Self, Failure> {
        // SAFETY: the inode is live; NULL means no memory.
        let raw = NonNull::new(unsafe { sys::cs_shim_fd_new(inode.as_ptr()) });
        raw.map(Self).ok_or(Failure::Brick {
            step: "open",
            errno: Errno::ENOMEM,
        })
    }

    pub(crate) const fn as_ptr(&self) -> *mut sys::fd_t {
        self.0.as_ptr()
    }

    /// The descriptor's address, which identifies it as long as it is held.
    #[must_use]
    pub fn address(&self) -> usize {
        self.as_ptr().addr()
    }
}

impl Clone for Fd {
    fn clone(&self) -> Self {
        // SAFETY: we hold a reference; another one is taken.
        unsafe { sys::fd_ref(self.as_ptr()) };
        Self(self.0)
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: releases our reference, once; releasing the last one closes the file on the bricks.
        unsafe { sys::fd_unref(self.as_ptr()) };
    }
}
