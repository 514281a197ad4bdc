// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Determines whether a job still has its file's lock.
//!
//! A brick drops a client's locks when their connection breaks, and the client is not informed when it reconnects: the
//! host reopens descriptors, but does not take locks again. Meanwhile another client may have recalled the file and an
//! application changed it, or another recall may be in progress and have written part of the file. So if a brick has
//! disconnected since the job took its lock, the job takes the lock once more, which a brick grants if it still holds
//! our lock or nobody has taken it since, and checks that the file's mark is still the job's own. If so, no other
//! client has worked on the file.
//!
//! Every change of a file under its lock goes through [`Held`], which checks first. The lock cannot be lost unnoticed
//! between the check and the change: a connection that breaks fails the operations in flight, and the host reports the
//! break before it reconnects, which takes seconds. On a volume of several bricks, an operation succeeds even if one of
//! them disconnects, so its success does not prove that the lock is still held for the next change.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use std::ffi::CStr;

use cloudsync_format::claim::Time;
use cloudsync_format::xattr;

use crate::errno::{Errno, Failure};
use crate::gfid::Gfid;
use crate::marks::Mark;
use crate::protocol::brick_file::BrickFile;
use crate::status::{Attributes, Status};
use cloudsync_format::message;

/// Whether a job still has its file's lock.
#[derive(Debug, Default)]
pub struct Lease {
    /// The value of the job's mark, once it is set. It is unique to the job.
    mark: Mutex<Option<String>>,
    /// The number of disconnects when the lock was last known to be ours.
    disconnects: AtomicU64,
    /// How often the lock was taken again.
    again: AtomicU32,
}

impl Lease {
    fn set_mark(&self, mark: Option<String>) {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner) = mark;
    }

    fn mark_set(&self) -> Option<String> {
        let mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        mark.clone()
    }

    /// Call before the lock is taken.
    pub fn begin(&self, file: &impl BrickFile) {
        self.set_mark(None);
        self.disconnects
            .store(file.disconnects(), Ordering::Release);
    }

    /// Sets the job's mark on the file `gfid`. `now`: its status under the lock.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn mark<F: BrickFile>(
        &self,
        file: &F,
        fd: &F::Fd,
        gfid: Gfid,
        now: &Status<F::Attributes>,
    ) -> Result<(), Failure> {
        self.check(file)?;
        let mark = Mark::new(gfid, now.attributes.ctime()).to_string();
        file.set(fd, "mark", &[(xattr::DOWNLOADING, &mark)])?;
        self.set_mark(Some(mark));
        Ok(())
    }

    /// Whether no brick has disconnected since the lock was last known to be ours. `disconnects`: the current number.
    #[must_use]
    pub fn is_sure(&self, disconnects: u64) -> bool {
        self.disconnects.load(Ordering::Acquire) == disconnects
    }

    /// Verifies that the lock is ours. After a disconnect, the job's mark must still be on the file; if it was not set
    /// yet, the lock counts as lost. Blocks.
    ///
    /// # Errors
    /// [`Failure::LockLost`]: the job must not change the file any more.
    pub fn check(&self, file: &impl BrickFile) -> Result<(), Failure> {
        loop {
            let disconnects = file.disconnects();
            if self.is_sure(disconnects) {
                return Ok(());
            }
            let lost = |failure: Failure| {
                log::warn!(
                    id = message::LOCK_LOST;
                    "{}: {failure}, after a brick disconnected", file.path()
                );
                Failure::LockLost
            };
            let Some(ours) = self.mark_set() else {
                return Err(Failure::LockLost);
            };
            file.lock_again().map_err(lost)?;
            self.again.fetch_add(1, Ordering::AcqRel);
            let status = file.status().map_err(lost)?;
            if status.remote.is_none() || status.mark.as_deref() != Some(ours.as_bytes()) {
                log::warn!(
                    id = message::LOCK_LOST;
                    "{}: another client had the lock meanwhile", file.path()
                );
                return Err(Failure::LockLost);
            }
            self.disconnects.store(disconnects, Ordering::Release);
        }
    }

    /// Releases the locks that [`Self::check`] took.
    pub fn end(&self, file: &impl BrickFile) {
        for _ in 0..self.again.swap(0, Ordering::AcqRel) {
            // A brick that had disconnected holds one lock less than the others, and refuses the last release.
            let _ = file.unlock();
        }
    }
}

/// A file whose lock a job has.
#[derive(Debug)]
pub struct Held<'a, F> {
    /// The file. Operations that do not change it need no check.
    pub file: &'a F,
    /// Whether the lock is still ours.
    pub lease: &'a Lease,
}

impl<F> Clone for Held<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Held<'_, F> {}

/// What a file is after all its bytes were removed.
#[derive(Clone, Copy, Debug)]
pub struct Emptied {
    /// Its size: not 0 if somebody wrote to it meanwhile.
    pub on_bricks: u64,
    /// The time of its last change.
    pub mtime: Time,
}

/// The changes of [`BrickFile`], each after a check.
///
/// # Errors
/// [`Failure::LockLost`], before anything was changed; [`Failure::Brick`].
#[allow(clippy::missing_errors_doc)]
impl<F: BrickFile> Held<'_, F> {
    /// Verifies that the lock is ours.
    pub fn check(&self) -> Result<(), Failure> {
        self.lease.check(self.file)
    }

    /// Sets extended attributes, in one operation.
    pub fn set(
        &self,
        fd: &F::Fd,
        step: &'static str,
        values: &[(&CStr, &str)],
    ) -> Result<(), Failure> {
        self.check()?;
        self.file.set(fd, step, values)
    }

    /// Removes an extended attribute.
    pub fn remove(&self, fd: &F::Fd, step: &'static str, name: &CStr) -> Result<(), Failure> {
        self.check()?;
        self.file.remove_one(fd, step, name)
    }

    /// Removes an extended attribute, and sets the time of the last change.
    pub fn remove_as_change(
        &self,
        fd: &F::Fd,
        step: &'static str,
        name: &CStr,
    ) -> Result<(), Failure> {
        self.check()?;
        self.file.remove_as_change(fd, step, name)
    }

    /// Removes extended attributes in one operation, in any order; where the volume does not support that, one after
    /// the other, in the given order.
    pub fn remove_all(
        &self,
        fd: &F::Fd,
        step: &'static str,
        names: &[&CStr],
    ) -> Result<(), Failure> {
        self.check()?;
        match self.file.remove_all(fd, step, names) {
            Err(failure) if failure.errno() == Errno::EOPNOTSUPP => names
                .iter()
                .try_for_each(|name| self.remove(fd, step, name)),
            result => result,
        }
    }

    /// Removes the marks that a local file must not have, and last the one by which a lookup notices that some are
    /// left.
    pub fn tidy(&self, fd: &F::Fd) -> Result<(), Failure> {
        self.remove_all(fd, "tidy up", xattr::LEFT_OVERS)
    }

    /// Truncates or extends the file to `size` bytes. Returns whether that changed its mtime.
    pub fn resize(&self, fd: &F::Fd, step: &'static str, size: u64) -> Result<bool, Failure> {
        self.check()?;
        self.file.resize(fd, step, size)
    }

    /// Removes all bytes and waits until that is on disk: an erasure-coded volume updates a file's size and version
    /// late, and uses them to heal a brick that was down.
    pub fn empty(&self, fd: &F::Fd) -> Result<Emptied, Failure> {
        self.resize(fd, "truncate", 0)?;
        if let Some(now) = self.file.fsync(fd)? {
            return Ok(Emptied {
                on_bricks: now.size(),
                mtime: now.mtime(),
            });
        }
        let now = self.file.status()?;
        Ok(Emptied {
            on_bricks: now.on_bricks,
            mtime: now.attributes.mtime(),
        })
    }

    /// Sets the access and modification time.
    pub fn set_times(&self, fd: &F::Fd, attributes: &F::Attributes) -> Result<(), Failure> {
        self.check()?;
        self.file.set_times(fd, attributes)
    }
}
