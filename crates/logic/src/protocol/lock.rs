// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The lock that serialises archive and recall of a file between all clients. It is released when its client's
//! connection closes.
//!
//! It is polled. No request waits for it on a brick, because a request that waits longer than the volume's
//! `network.frame-timeout` makes the host drop the whole connection.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::crash;
use crate::errno::Failure;
use crate::protocol::brick_file::BrickFile;
use cloudsync_format::message;

/// The lock, released on drop.
#[derive(Debug)]
pub struct Locked<'a, F: BrickFile>(&'a F);

impl<F: BrickFile> Drop for Locked<'_, F> {
    fn drop(&mut self) {
        let _step = crash::step("unlock");
        match self.0.unlock() {
            // The file was removed meanwhile, and its lock with it.
            Err(failure) if !matches!(failure.errno().get(), libc::ENOENT | libc::ESTALE) => {
                log::warn!(id = message::UNLOCK_FAILED; "{}: {failure}", self.0.path());
            }
            _ => {}
        }
    }
}

/// Takes the lock if no other client has it.
///
/// # Errors
/// [`Failure::Locked`], [`Failure::Brick`].
pub fn try_lock<F: BrickFile>(file: &F) -> Result<Locked<'_, F>, Failure> {
    file.try_lock().map(|()| Locked(file))
}

/// Takes the lock, and polls for it until `keep_going` returns an error.
///
/// # Errors
/// [`Failure::Brick`], and that error.
pub fn lock<F: BrickFile>(
    file: &F,
    keep_going: impl Fn() -> Result<(), Failure>,
) -> Result<Locked<'_, F>, Failure> {
    const FIRST: Duration = Duration::from_millis(2);
    const LAST: Duration = Duration::from_millis(200);
    let _step = crash::step("lock");
    let started = Instant::now();
    let mut pause = FIRST;
    loop {
        match try_lock(file) {
            Err(Failure::Locked) => {}
            locked => {
                if locked.is_ok() {
                    file.locked(started.elapsed());
                }
                return locked;
            }
        }
        keep_going()?;
        // With jitter, because clients that poll several bricks in step could block each other forever.
        file.pause(pause + pause.mul_f32(jitter(file)));
        pause = (pause * 3 / 2).min(LAST);
    }
}

/// Takes the lock, and polls for it for at most `at_most`.
///
/// # Errors
/// [`Failure::Locked`], [`Failure::Brick`].
pub fn lock_within<F: BrickFile>(file: &F, at_most: Duration) -> Result<Locked<'_, F>, Failure> {
    let started = Instant::now();
    lock(file, || match started.elapsed() < at_most {
        true => Ok(()),
        false => Err(Failure::Locked),
    })
}

/// A pseudo-random number from 0 to 1.
fn jitter<F>(file: &F) -> f32 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let mixed = u64::from(now.subsec_nanos()) ^ (std::ptr::from_ref(file).addr() as u64 >> 4);
    f32::from((mixed % 256) as u8) / 256.0
}
