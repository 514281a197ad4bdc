// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Whether a job still has its file's lock.
//!
//! A brick forgets the locks of a client whose connection it lost, and says nothing when the client is back: its
//! descriptors are opened again, its locks are not taken again. Meanwhile another client may have recalled the file,
//! and an application may have changed it; or that recall is under way, and the file is half there. So when a brick went
//! away since the job took its lock, the job takes it once more, which any brick grants that has it still or that nobody
//! has asked for it since, and looks whether the mark is the one that it set. If it is, nobody else has been at work.
//!
//! Nothing slips through between a look and what follows it: a connection that is lost answers what is on its way with
//! an error, the host tells us before it connects again, and it takes seconds over that.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use cloudsync_format::xattr;

use crate::bricks::Bricks;
use crate::host::child::{Child, Status};
use crate::host::fd::Fd;
use crate::host::inode::Loc;
use cloudsync_logic::errno::Failure;
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::marks::Mark;

/// See the module.
#[derive(Debug, Default)]
pub struct Lease {
    /// What the job's mark says, if the file has it: no other job's says that.
    mark: Mutex<Option<String>>,
    /// How often bricks had gone away when the lock was known to be ours.
    losses: AtomicU64,
    /// How often the lock was taken beyond the first time.
    again: AtomicU32,
}

impl Lease {
    fn set_mark(&self, mark: Option<String>) {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner) = mark;
    }

    /// Call before the lock is asked for.
    pub fn begin(&self, bricks: &Bricks) {
        self.set_mark(None);
        self.losses.store(bricks.losses(), Ordering::Release);
    }

    /// Sets the mark on the file `gfid`, which looked so just now.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn mark(&self, child: &Child, fd: &Fd, gfid: Gfid, now: &Status) -> Result<(), Failure> {
        let mark = Mark::new(gfid, now.attributes.ctime()).to_string();
        child.set(fd, "mark", &[(xattr::DOWNLOADING, &mark)])?;
        self.set_mark(Some(mark));
        Ok(())
    }

    /// Whether the lock was ours when we looked last, and no brick has gone away since.
    #[must_use]
    pub fn is_sure(&self, bricks: &Bricks) -> bool {
        self.losses.load(Ordering::Acquire) == bricks.losses()
    }

    /// Makes sure that the lock is ours: if bricks went away, by the mark, and without one it counts as lost. Blocks then.
    ///
    /// # Errors
    /// [`Failure::LockLost`]: hands off the file.
    pub fn check(&self, bricks: &Bricks, child: &Child, loc: &Loc) -> Result<(), Failure> {
        loop {
            let losses = bricks.losses();
            if self.losses.load(Ordering::Acquire) == losses {
                return Ok(());
            }
            let lost = |failure: Failure| {
                log::warn!("{}: {failure}, after a brick had gone away", loc.path());
                Failure::LockLost
            };
            let ours = self
                .mark
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let Some(ours) = ours else {
                return Err(Failure::LockLost);
            };
            child.lock_again(loc).map_err(lost)?;
            self.again.fetch_add(1, Ordering::AcqRel);
            let status = child.status(loc).map_err(lost)?;
            let mark = status.mark.as_deref();
            if status.remote.is_none() || mark != Some(ours.as_bytes()) {
                log::warn!("{}: another client had it meanwhile", loc.path());
                return Err(Failure::LockLost);
            }
            self.losses.store(losses, Ordering::Release);
        }
    }

    /// Gives back what [`Self::check`] took.
    pub fn end(&self, child: &Child, loc: &Loc) {
        for _ in 0..self.again.swap(0, Ordering::AcqRel) {
            // A brick that was away has it once less than the others, and says so.
            child.unlock(loc);
        }
    }
}
