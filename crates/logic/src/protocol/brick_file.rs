// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The operations of jobs on the bricks, as a trait.

#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::time::Duration;

use crate::errno::Failure;
use crate::status::{Attributes, Reading, Status};

/// One file on the bricks, for one job. Each operation blocks until the bricks have answered. Unless noted otherwise,
/// it is carried out in any state of the file, because it lacks the key that makes the bricks check the state. `step`
/// names the operation in errors and crash points.
///
/// # Errors
/// [`Failure::Brick`], unless noted otherwise. The operation may have succeeded nevertheless, since answers can be
/// lost.
#[allow(clippy::missing_errors_doc)]
pub trait BrickFile {
    /// A file's attributes.
    type Attributes: Attributes;
    /// A descriptor of the file.
    type Fd;

    /// The file's path, for messages.
    fn path(&self) -> String;

    /// How often bricks have disconnected so far. A brick that disconnects drops this client's locks, and operations in
    /// flight to it fail.
    fn disconnects(&self) -> u64;

    /// The file's state, attributes and marks.
    fn status(&self) -> Result<Status<Self::Attributes>, Failure>;

    /// The value of an extended attribute; `None` if the file does not have it.
    fn attribute(&self, name: &CStr) -> Result<Option<Vec<u8>>, Failure>;

    /// Takes the file's lock. Does not wait: [`Failure::Locked`] if another client has it.
    fn try_lock(&self) -> Result<(), Failure>;

    /// Called once the lock was taken, with how long that took.
    fn locked(&self, _waited: Duration) {}

    /// Takes the lock once more, after a disconnect. A brick grants it if it still holds our lock or nobody has taken
    /// it since; [`Failure::Brick`] with EAGAIN otherwise.
    fn lock_again(&self) -> Result<(), Failure>;

    /// Releases the lock once. If that fails, the lock is released when the client's connection closes.
    fn unlock(&self) -> Result<(), Failure>;

    /// Opens the file, even if it has no name any more and is only held open.
    fn open(&self) -> Result<Self::Fd, Failure>;

    /// The same, and sets the access time as [`Self::write_nothing`] does.
    fn open_accessing(&self, accessed: &Self::Attributes) -> Result<Self::Fd, Failure>;

    /// Returns a descriptor for a few operations, if possible without an open on the bricks.
    fn open_briefly(&self) -> Result<Self::Fd, Failure>;

    /// Sets extended attributes, in one operation.
    fn set(
        &self,
        fd: &Self::Fd,
        step: &'static str,
        values: &[(&CStr, &str)],
    ) -> Result<(), Failure>;

    /// Removes an extended attribute; one that does not exist is ignored.
    fn remove_one(&self, fd: &Self::Fd, step: &'static str, name: &CStr) -> Result<(), Failure>;

    /// The same, and where the volume keeps its own times, sets the time of the last change to now.
    fn remove_as_change(
        &self,
        fd: &Self::Fd,
        step: &'static str,
        name: &CStr,
    ) -> Result<(), Failure>;

    /// Removes extended attributes in one operation, in any order; those that do not exist are ignored.
    /// [`Failure::Brick`] with EOPNOTSUPP where the volume cannot do that.
    fn remove_all(&self, fd: &Self::Fd, step: &'static str, names: &[&CStr])
    -> Result<(), Failure>;

    /// Truncates or extends the file to `size` bytes. Returns whether that changed its mtime.
    fn resize(&self, fd: &Self::Fd, step: &'static str, size: u64) -> Result<bool, Failure>;

    /// Waits until everything written is on the bricks' disks, and replication and erasure coding have recorded it.
    /// Returns the attributes that the bricks have then; `None` where the answer may be that of a copy which lacks something.
    fn fsync(&self, fd: &Self::Fd) -> Result<Option<Self::Attributes>, Failure>;

    /// Sets the access and modification time to those in `attributes`.
    fn set_times(&self, fd: &Self::Fd, attributes: &Self::Attributes) -> Result<(), Failure>;

    /// Waits for the writes that a brick has admitted before, by an empty write. Where the volume keeps its own times, sets
    /// the access time to that in `accessed`, unless it is later.
    fn write_nothing(&self, fd: &Self::Fd, accessed: &Self::Attributes) -> Result<(), Failure>;

    /// Tries to read a byte, with the key that makes the bricks check the state.
    fn try_to_read(&self, fd: &Self::Fd) -> Result<Reading, Failure>;

    /// Makes a replicated volume compare its copies, by a lookup. Sends nothing on other volumes.
    fn compare_copies(&self) -> Result<(), Failure>;

    /// Sleeps.
    fn pause(&self, time: Duration);
}
