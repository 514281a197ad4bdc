// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A file, opened for a thread of ours.

#![forbid(unsafe_code)]

use crate::host::child::Child;
use crate::host::inode::{Inode, Loc};
use crate::host::xlator::Xlator;
use cloudsync_logic::errno::Failure;
use cloudsync_logic::gfid::Gfid;

/// A file, and the way to the bricks for a thread of ours.
#[derive(Debug)]
pub struct File {
    /// The bricks.
    pub child: Child,
    /// Where it is there.
    pub loc: Loc,
}

impl File {
    /// The file `gfid`, whose inode may not be linked yet. The address of `owner` tells its locks from all others: it must
    /// not move or end before the file is done with.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn of<T>(this: Xlator, inode: &Inode, gfid: Gfid, owner: &T) -> Result<Self, Failure> {
        let child = Child::enter(this, std::ptr::from_ref(owner).cast());
        let child = child.ok_or(Failure::NO_MEMORY)?;
        let loc = Loc::of(inode, gfid).ok_or(Failure::NO_MEMORY)?;
        Ok(Self { child, loc })
    }
}
