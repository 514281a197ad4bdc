// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Checks and reserves space on the bricks for recalls.
//!
//! The bricks do not apply their reserve and quotas to our writes, so we check: a recall starts only if its file fits
//! in addition to the running recalls and leaves `keep-free` unused. The recall of a large file checks again while it
//! runs. Otherwise it fails as on a full brick: readers are served from the store, and operations that change the file
//! get ENOSPC.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bricks::file::File;
use crate::host::child::Room;
use crate::sizes::PIECE;
use cloudsync_logic::config::KeepFree;
use cloudsync_logic::errno::{Errno, Failure};

/// The space reserved by the recalls of one instance.
#[derive(Debug, Default)]
pub struct Space(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Reserved bytes, by place.
    reserved: HashMap<usize, u64>,
    /// When the bricks were last queried.
    checked: Option<Instant>,
    /// Space was short then, so it is queried for every file.
    tight: bool,
}

/// Space reserved for one file until its recall ends.
#[derive(Debug)]
pub struct Taken<'a> {
    space: &'a Space,
    place: usize,
    bytes: u64,
}

/// How long a result is reused for small files while there is plenty of space. The bricks themselves check their
/// reserve every five seconds.
const PAUSE: Duration = Duration::from_millis(100);

/// With less than this beyond the space to keep free, it is queried for every file. Bytes.
const TIGHT: u64 = 1 << 30;

const FULL: Failure = Failure::Brick {
    step: "reserve space",
    errno: Errno::ENOSPC,
};

impl Space {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves space for `bytes` of a file; `None` if no reservation is needed. Blocks.
    ///
    /// # Errors
    /// ENOSPC.
    pub fn take(
        &self,
        file: &File<'_>,
        bytes: u64,
        keep: KeepFree,
    ) -> Result<Option<Taken<'_>>, Failure> {
        if bytes <= PIECE && self.has_plenty() {
            return Ok(None);
        }
        // If the space cannot be queried, recall the file all the same.
        let Ok(room) = file.child.room(&file.loc) else {
            return Ok(None);
        };
        self.admit(room, bytes, keep).map(Some)
    }

    fn has_plenty(&self) -> bool {
        let state = self.lock();
        !state.tight && state.checked.is_some_and(|when| when.elapsed() < PAUSE)
    }

    fn admit(&self, room: Room, bytes: u64, keep: KeepFree) -> Result<Taken<'_>, Failure> {
        let Room { free, total, place } = room;
        let mut state = self.lock();
        let reserved = state.reserved.get(&place).copied().unwrap_or(0);
        let needed = keep
            .of(total)
            .saturating_add(reserved)
            .saturating_add(bytes);
        if bytes > total {
            return Err(Failure::TooLarge(bytes));
        }
        state.checked = Some(Instant::now());
        state.tight = free < needed.saturating_add(TIGHT.min(total / 20));
        if free < needed {
            return Err(FULL);
        }
        *state.reserved.entry(place).or_default() += bytes;
        drop(state);
        Ok(Taken {
            space: self,
            place,
            bytes,
        })
    }
}

/// Checks that there is still space for a recall to continue, because others write to the bricks too. Blocks.
///
/// # Errors
/// ENOSPC.
pub fn recheck(file: &File<'_>, keep: KeepFree) -> Result<(), Failure> {
    match file.child.room(&file.loc) {
        Ok(room) if room.free == 0 || room.free < keep.of(room.total) => Err(FULL),
        _ => Ok(()),
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut state = self.space.lock();
        if let Some(reserved) = state.reserved.get_mut(&self.place) {
            *reserved -= self.bytes;
            if *reserved == 0 {
                state.reserved.remove(&self.place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn room(free: u64, place: usize) -> Room {
        Room {
            free,
            total: 100 * GIB,
            place,
        }
    }

    #[test]
    fn files_that_are_coming_take_room_on_their_own_bricks_until_they_are_there() {
        let space = Space::default();
        let keep = KeepFree::Bytes(GIB);
        let first = space.admit(room(10 * GIB, 1), 6 * GIB, keep).unwrap();
        assert!(space.admit(room(10 * GIB, 1), 4 * GIB, keep).is_err());
        let other = space.admit(room(10 * GIB, 2), 9 * GIB, keep).unwrap();
        drop(first);
        drop(space.admit(room(10 * GIB, 1), 4 * GIB, keep).unwrap());
        drop(other);
        assert!(space.lock().reserved.is_empty());
    }

    #[test]
    fn small_files_are_checked_each_time_where_space_is_scarce() {
        let space = Space::default();
        assert!(!space.has_plenty(), "not checked yet");
        let keep = KeepFree::Percent(10);
        drop(space.admit(room(60 * GIB, 1), 1, keep).unwrap());
        assert!(space.has_plenty());
        drop(space.admit(room(10 * GIB + 7, 1), 1, keep).unwrap());
        assert!(!space.has_plenty());
        assert!(space.admit(room(10 * GIB, 1), 1, keep).is_err());
    }
}
