// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Finds the pins of files ([`cloudsync_format::pin`]): a file's own, or that of the nearest folder above it. For worker
//! threads: it asks the bricks.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cloudsync_format::pin::{OF_OWNERS, OF_ROOT, Pin};
use cloudsync_logic::errno::Failure;
use cloudsync_logic::gfid::Gfid;

use crate::bricks::file::File;
use crate::host::inode::{Inode, Loc};

/// How long the pin of a folder is remembered: files of one folder are read one after the other.
const RECENT: Duration = Duration::from_secs(5);

/// Folders that are remembered.
const FOLDERS: usize = 1024;

/// The pins of folders, as they were a moment ago.
#[derive(Debug, Default)]
pub struct Pins(Mutex<HashMap<Gfid, (Option<Pin>, Instant)>>);

impl Pins {
    fn lock(&self) -> MutexGuard<'_, HashMap<Gfid, (Option<Pin>, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pin that counts for the file of `inode`.
    ///
    /// # Errors
    /// [`Failure::Brick`].
    pub fn of(&self, file: &File<'_>, inode: &Inode) -> Result<Option<Pin>, Failure> {
        if let Some(pin) = own(file, &file.loc)? {
            return Ok(Some(pin));
        }
        let mut passed = Vec::new();
        let mut folder = inode.parent();
        let mut found = None;
        while let Some(at) = folder {
            let gfid = at.gfid();
            let known = self.lock().get(&gfid).copied();
            if let Some((pin, _)) = known.filter(|(_, when)| when.elapsed() < RECENT) {
                found = pin;
                break;
            }
            passed.push(gfid);
            let loc = Loc::of(&at, gfid).ok_or(Failure::NO_MEMORY)?;
            found = own(file, &loc)?;
            if found.is_some() {
                break;
            }
            folder = at.parent();
        }
        let mut folders = self.lock();
        if folders.len() + passed.len() > FOLDERS {
            folders.clear();
        }
        let now = Instant::now();
        folders.extend(passed.into_iter().map(|gfid| (gfid, (found, now))));
        Ok(found)
    }
}

/// The pin that a file or folder itself has.
fn own(file: &File<'_>, loc: &Loc) -> Result<Option<Pin>, Failure> {
    let values = file.child.attributes(loc, [OF_ROOT, OF_OWNERS])?;
    let mut pins = values.into_iter().flatten();
    Ok(pins.find_map(|value| Pin::parse(&value)))
}
