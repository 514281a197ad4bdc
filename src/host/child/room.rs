// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Queries the free space for a file: on its bricks, without their reserve (`storage.reserve`), and within the quota of
//! its directory, which the bricks take into account if `features.quota-deem-statfs` is on (the default).
//!
//! A distributed volume answers for all its bricks together. So each subvolume is queried separately, by the file: one
//! that does not have the file returns an error.

use std::ffi::CStr;
use std::mem;
use std::ptr::{self, NonNull};

use super::Child;
use crate::host::inode::Loc;
use crate::sys;
use cloudsync_logic::errno::{Errno, Failure};

/// The space for a file on one subvolume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that may still be written.
    pub free: u64,
    /// The capacity in bytes.
    pub total: u64,
    /// Identifies the subvolume.
    pub place: usize,
}

impl Child {
    /// Returns the free space for the file: the smallest of the subvolumes that have it.
    ///
    /// # Errors
    /// [`Failure::Brick`]: no subvolume answered for the file.
    pub fn room(&self, loc: &Loc) -> Result<Room, Failure> {
        let mut least: Option<Room> = None;
        let mut errno = Errno::ENOTCONN;
        for subvolume in self.subvolumes() {
            match room_on(subvolume, loc) {
                Ok(room) if least.is_none_or(|least| room.free < least.free) => least = Some(room),
                Ok(_) => {}
                Err(other) => errno = other,
            }
        }
        least.ok_or(Failure::Brick {
            step: "ask for room",
            errno,
        })
    }

    /// Returns the subvolumes among which files are distributed, or the child itself.
    fn subvolumes(&self) -> Vec<NonNull<sys::xlator_t>> {
        let mut at = NonNull::new(self.as_ptr());
        while let Some(here) = at {
            let children = children(here);
            if is_distribution(here) {
                return children;
            }
            at = match children[..] {
                [only] => Some(only),
                _ => None,
            };
        }
        NonNull::new(self.as_ptr()).into_iter().collect()
    }
}

fn children(xlator: NonNull<sys::xlator_t>) -> Vec<NonNull<sys::xlator_t>> {
    let mut found = Vec::new();
    // SAFETY: a graph lives as long as the instance in it; its lists do not change.
    let mut link = unsafe { (*xlator.as_ptr()).children };
    // SAFETY: as above.
    while let Some(child) = unsafe { link.as_ref() } {
        found.extend(NonNull::new(child.xlator));
        link = child.next;
    }
    found
}

fn is_distribution(xlator: NonNull<sys::xlator_t>) -> bool {
    // SAFETY: as above.
    let kind = unsafe { (*xlator.as_ptr()).type_ };
    if kind.is_null() {
        return false;
    }
    // SAFETY: a string that lives as long as the translator.
    let kind = unsafe { CStr::from_ptr(kind) };
    [c"cluster/distribute", c"cluster/nufa", c"cluster/switch"].contains(&kind)
}

fn room_on(subvolume: NonNull<sys::xlator_t>, loc: &Loc) -> Result<Room, Errno> {
    // SAFETY: plain numbers.
    let mut found: sys::statvfs = unsafe { mem::zeroed() };
    // SAFETY: all pointers are live or NULL where the host allows it.
    let result = unsafe {
        sys::syncop_statfs(
            subvolume.as_ptr(),
            loc.as_ptr(),
            &raw mut found,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    if result < 0 {
        return Err(Errno::new(result));
    }
    Ok(Room {
        free: found.f_bavail.saturating_mul(found.f_frsize),
        total: found.f_blocks.saturating_mul(found.f_frsize),
        place: subvolume.as_ptr().addr(),
    })
}
