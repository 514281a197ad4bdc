// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Decides whether the file that an object was made from needs it. The object's key contains the file's gfid.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use cloudsync_format::claim::Time;
use cloudsync_format::object::{Key, Notes};
use cloudsync_format::{stores, xattr as names};
use cloudsync_store::StoreError;

use super::here::Here;
use super::references::named;
use crate::archive::seen;
use crate::crawl::times::is_older;
use crate::crawl::{is_gone, marks, record, value};
use crate::outage::{Outage, Trouble};
use crate::volume::mount::Mount;

/// A file that changed more recently than this may still be in use: its objects are kept.
pub(super) const TOUCHED: Duration = Duration::from_secs(86_400);

/// Whether an object's own file needs it, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    NoFile,
    OtherObject,
    OtherStore,
    Modified,
}

impl Verdict {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Keep => "it is in use",
            Self::NoFile => "its file no longer exists",
            Self::OtherObject => "its file is cold and names another object",
            Self::OtherStore => "its file names another store, to which it was moved",
            Self::Modified => "its file was modified since",
        }
    }
}

pub(super) struct Judge<'a> {
    pub(super) mount: &'a Mount,
    pub(super) here: &'a Here<'a>,
    pub(super) outage: &'a Outage,
    /// See [`TOUCHED`].
    pub(super) touched: Duration,
}

impl Judge<'_> {
    /// Examines the file that the object was made from. Proves nothing unless all bricks were there
    /// ([`Mount::with_all_bricks`]). The error is text for the user.
    pub(super) fn of(&self, key: &str, gfid: &str) -> Result<Verdict, Trouble> {
        let file = self.mount.by_gfid(gfid);
        let text = |error: io::Error| Trouble::Other(error.to_string());
        // Most objects are their file's, and one request tells that.
        let record = record(&file).ok().flatten();
        if record.is_some_and(|record| {
            record.is_of(key.as_bytes()) && !self.here.is_elsewhere(record.store.as_deref())
        }) {
            return Ok(Verdict::Keep);
        }
        let data = match file.symlink_metadata() {
            Ok(data) => data,
            Err(error) if is_gone(&error) => return Ok(Verdict::NoFile),
            Err(error) => return Err(text(error)),
        };
        let mut named = named(&file, self.here).map_err(text)?.into_iter();
        if named.any(|named| named.key == key && named.elsewhere.is_none()) {
            return Ok(Verdict::Keep);
        }
        if let Some(marks) = marks(&file).map_err(text)? {
            if marks.key != key {
                return Ok(self.unless_touched(&data, Verdict::OtherObject));
            }
            return match self.here.is_also_in(marks.store(), key)? {
                true => Ok(self.unless_touched(&data, Verdict::OtherStore)),
                false => Ok(Verdict::Keep),
            };
        }
        // Recalled since; to be archived again it is looked for where its note says.
        let note = value(&file, names::LAST).map_err(text)?;
        let note = note.as_deref().map(stores::of_note);
        if let Some((store, last)) = note
            && last == key
            && self.here.is_elsewhere(store)
            && self.here.is_also_in(store, key)?
        {
            return Ok(self.unless_touched(&data, Verdict::OtherStore));
        }
        let now = seen(&data);
        let notes = match self.here.store.describe(key) {
            Ok((_, metadata)) => Notes::of_metadata(&metadata),
            Err(StoreError::Missing(_)) => return Ok(Verdict::Keep),
            Err(error) => return Err(error.into()),
        };
        self.outage.succeeded();
        if notes.is_some_and(|notes| notes.size == now.size && notes.mtime == now.mtime) {
            return Ok(Verdict::Keep);
        }
        Ok(self.unless_touched(&data, Verdict::Modified))
    }

    fn unless_touched(&self, data: &Metadata, verdict: Verdict) -> Verdict {
        let changed = Time {
            seconds: data.ctime(),
            nanos: u32::try_from(data.ctime_nsec()).unwrap_or(0),
        };
        if is_older(changed, self.touched) {
            verdict
        } else {
            Verdict::Keep
        }
    }

    /// Examines the files of these objects again, and deletes those whose verdict is the same. Returns the errors, each
    /// with the object's index.
    pub(super) fn delete(&self, objects: &[(&str, Verdict)]) -> Vec<(usize, Trouble)> {
        let all = |why: String| {
            let each = |index| (index, Trouble::Other(why.clone()));
            (0..objects.len()).map(each).collect()
        };
        let mut errors = Vec::new();
        let again = || -> Vec<_> {
            objects
                .iter()
                .map(|(key, before)| self.again(key, *before))
                .collect()
        };
        let again = match self.mount.with_all_bricks(again) {
            Ok(again) => again,
            Err(why) => {
                self.outage.stop(why.clone());
                return all(why);
            }
        };
        let mut due = Vec::new();
        for (index, ((key, _), again)) in objects.iter().zip(again).enumerate() {
            match again {
                Ok(()) => due.push((index, *key)),
                Err(why) => errors.push((index, why)),
            }
        }
        let keys: Vec<_> = due.iter().map(|(_, key)| *key).collect();
        for (key, error) in self.here.store.delete_all(&keys) {
            let index = due.iter().find(|(_, due)| *due == key);
            errors.extend(index.map(|(index, _)| (*index, error.into())));
        }
        errors
    }

    /// Fails if the verdict has changed.
    fn again(&self, key: &str, before: Verdict) -> Result<(), Trouble> {
        let gfid = Key::parse(key).map(|key| key.gfid).unwrap_or_default();
        let now = self.of(key, gfid)?;
        if now == before {
            return Ok(());
        }
        Err(Trouble::Other(format!(
            "its file has changed: before, {}; now, {}",
            before.text(),
            now.text()
        )))
    }
}
