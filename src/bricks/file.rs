// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Implements the operations of jobs on a file on the bricks. For worker threads: they block.

#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::thread;
use std::time::Duration;

use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::protocol::brick_file::BrickFile;
use cloudsync_logic::status::Reading;
use cloudsync_metrics::client::Client as Metrics;

use crate::bricks::Bricks;
use crate::host::attributes::Attributes;
use crate::host::child::{Child, Status};
use crate::host::fd::Fd;
use crate::host::inode::{Inode, Loc};
use crate::host::xlator::Xlator;

/// A file on the bricks.
#[derive(Debug)]
pub struct File<'a> {
    /// The translator that reaches the bricks.
    pub child: Child,
    /// The file's location.
    pub loc: Loc,
    this: Xlator,
    inode: &'a Inode,
    bricks: &'a Bricks,
    metrics: &'a Metrics,
}

impl<'a> File<'a> {
    /// Returns a handle to the file `gfid`, whose inode may not be linked yet. The address of `owner` identifies its
    /// locks: `owner` must not be moved or dropped before the handle.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn of<T>(
        this: Xlator,
        bricks: &'a Bricks,
        metrics: &'a Metrics,
        inode: &'a Inode,
        gfid: Gfid,
        owner: &T,
    ) -> Result<Self, Failure> {
        let child = Child::enter(this, std::ptr::from_ref(owner).cast());
        let child = child.ok_or(Failure::NO_MEMORY)?;
        let loc = Loc::of(inode, gfid).ok_or(Failure::NO_MEMORY)?;
        Ok(Self {
            child,
            loc,
            this,
            inode,
            bricks,
            metrics,
        })
    }
}

impl BrickFile for File<'_> {
    type Attributes = Attributes;
    type Fd = Fd;

    fn path(&self) -> String {
        self.loc.path().to_string()
    }

    fn disconnects(&self) -> u64 {
        self.bricks.disconnects()
    }

    fn status(&self) -> Result<Status, Failure> {
        self.child.status(&self.loc)
    }

    fn attribute(&self, name: &CStr) -> Result<Option<Vec<u8>>, Failure> {
        let [value] = self.child.attributes(&self.loc, [name])?;
        Ok(value)
    }

    fn try_lock(&self) -> Result<(), Failure> {
        self.child.try_lock(&self.loc)
    }

    fn locked(&self, waited: Duration) {
        self.metrics.locked(waited);
    }

    fn lock_again(&self) -> Result<(), Failure> {
        self.child.lock_again(&self.loc)
    }

    fn unlock(&self) -> Result<(), Failure> {
        self.child.unlock(&self.loc)
    }

    fn open(&self) -> Result<Fd, Failure> {
        self.child.open(self.inode, &self.loc, None)
    }

    fn open_accessing(&self, accessed: &Attributes) -> Result<Fd, Failure> {
        self.child.open(self.inode, &self.loc, Some(accessed))
    }

    fn open_briefly(&self) -> Result<Fd, Failure> {
        // The host finds the file of an anonymous descriptor by its inode, which must have the gfid.
        if self.inode.gfid().is_none() {
            self.open()
        } else {
            Fd::anonymous(&self.loc)
        }
    }

    fn set(&self, fd: &Fd, step: &'static str, values: &[(&CStr, &str)]) -> Result<(), Failure> {
        self.child.set(fd, step, values)
    }

    fn remove_one(&self, fd: &Fd, step: &'static str, name: &CStr) -> Result<(), Failure> {
        self.child.remove(fd, step, name)
    }

    fn remove_as_change(&self, fd: &Fd, step: &'static str, name: &CStr) -> Result<(), Failure> {
        self.child.remove_as_change(fd, step, name)
    }

    fn remove_all(&self, fd: &Fd, step: &'static str, names: &[&CStr]) -> Result<(), Failure> {
        let refused = Failure::Brick {
            step,
            errno: Errno::EOPNOTSUPP,
        };
        if !self.bricks.remove_many() {
            return Err(refused);
        }
        let removed = self.child.remove_all(fd, step, names);
        // cluster/distribute with several subvolumes adds a name of its own, which the bricks refuse.
        if let Err(failure) = &removed
            && failure.errno() == Errno::EOPNOTSUPP
        {
            self.bricks.remove_singly();
        }
        removed
    }

    fn resize(&self, fd: &Fd, step: &'static str, size: u64) -> Result<bool, Failure> {
        self.child.resize(fd, step, size)
    }

    fn fsync(&self, fd: &Fd) -> Result<Option<Attributes>, Failure> {
        let now = self.child.fsync(fd)?;
        // Replication answers with what any brick said: an arbiter has no bytes, and one that lacks a change has other times.
        Ok((!self.bricks.are_replicated(self.this)).then_some(now))
    }

    fn set_times(&self, fd: &Fd, attributes: &Attributes) -> Result<(), Failure> {
        self.child.set_times(fd, attributes)
    }

    fn write_nothing(&self, fd: &Fd, accessed: &Attributes) -> Result<(), Failure> {
        self.child.write_nothing(fd, accessed)
    }

    fn try_to_read(&self, fd: &Fd) -> Result<Reading, Failure> {
        self.child.try_to_read(fd)
    }

    fn compare_copies(&self) -> Result<(), Failure> {
        if self.bricks.are_replicated(self.this) {
            self.child.look_up(&self.loc)
        } else {
            Ok(())
        }
    }

    fn pause(&self, time: Duration) {
        thread::sleep(time);
    }
}
