// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Whether the file that an object was made of needs it. The object's key has the file's gfid.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use cloudsync_format::object::{Key, Notes};
use cloudsync_store::{Archive, StoreError};

use super::references::named;
use crate::archive::seen;
use crate::crawl::select::is_older;
use crate::crawl::{is_gone, marks};
use crate::volume::mount::Mount;

/// A file that was touched since may be in somebody's hands: its objects are left alone.
const TOUCHED: Duration = Duration::from_secs(86_400);

/// Why an object may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    NoFile,
    OtherObject,
    Modified,
}

impl Verdict {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Keep => "it is in use",
            Self::NoFile => "its file is gone",
            Self::OtherObject => "its file is cold with another object",
            Self::Modified => "its file was modified since",
        }
    }
}

pub(super) struct Judge<'a> {
    mount: &'a Mount,
    store: &'a dyn Archive,
    touched: Duration,
}

impl<'a> Judge<'a> {
    pub(super) fn new(mount: &'a Mount, store: &'a dyn Archive, grace: Duration) -> Self {
        Self {
            mount,
            store,
            touched: TOUCHED.min(grace),
        }
    }

    /// What the file that the object was made of says.
    pub(super) fn of(&self, key: &str, gfid: &str) -> Result<Verdict, String> {
        let file = self.mount.by_gfid(gfid);
        let say = |error: io::Error| error.to_string();
        let data = match file.symlink_metadata() {
            Ok(data) => data,
            Err(error) if is_gone(&error) => {
                self.all_bricks_there()?;
                return Ok(Verdict::NoFile);
            }
            Err(error) => return Err(say(error)),
        };
        if named(&file).map_err(say)?.iter().any(|named| named == key) {
            return Ok(Verdict::Keep);
        }
        if marks(&file).map_err(say)?.is_some() {
            return Ok(self.unless_touched(&data, Verdict::OtherObject));
        }
        let now = seen(&data);
        let notes = match self.store.describe(key) {
            Ok((_, metadata)) => Notes::of_metadata(&metadata),
            Err(StoreError::Missing(_)) => return Ok(Verdict::Keep),
            Err(error) => return Err(error.to_string()),
        };
        if notes.is_some_and(|notes| notes.size == now.size && notes.mtime == now.mtime) {
            return Ok(Verdict::Keep);
        }
        Ok(self.unless_touched(&data, Verdict::Modified))
    }

    fn unless_touched(&self, data: &Metadata, verdict: Verdict) -> Verdict {
        let nanos = u32::try_from(data.ctime_nsec()).unwrap_or(0);
        if is_older(data.ctime(), nanos, self.touched) {
            verdict
        } else {
            Verdict::Keep
        }
    }

    /// Asks again, and deletes the object if the answer is the same.
    pub(super) fn delete(&self, key: &str, before: Verdict) -> Result<(), String> {
        let gfid = Key::parse(key).map(|key| key.gfid).unwrap_or_default();
        let now = self.of(key, gfid)?;
        if now != before {
            return Err(format!(
                "a moment ago {}, now {}",
                before.text(),
                now.text()
            ));
        }
        self.store.delete(key).map_err(|error| error.to_string())
    }

    /// What lies on a brick that cannot be reached is not gone.
    pub(super) fn all_bricks_there(&self) -> Result<(), String> {
        match self.mount.lost_bricks() {
            Ok(0) => Ok(()),
            Ok(lost) => Err(format!(
                "{lost} bricks cannot be reached: what lies on them is not gone"
            )),
            Err(error) => Err(error.to_string()),
        }
    }
}
