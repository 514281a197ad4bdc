// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Whose are the bytes that lie in a cold file?
//!
//! A recall that died leaves bytes that are worth nothing: the object has them. But a copy of a file with its marks, a
//! restored backup, and what was written while the feature was off look alike, and there the bytes are all that somebody
//! has. So bytes are only cut after they were compared with the object (law 10): what it has too is worth nothing here.
//! Under the mark of a recall a zero says nothing: the recall has made room for bytes that did not come. Anything else is
//! kept: the file becomes local with its bytes, as everybody sees them who mounts the volume without us, and
//! [`xattr::KEPT`] remembers the object that it was.
//!
//! A recall that is under way is told from all that by its mark, which names the file and the ctime that it had. Where the
//! volume keeps its own times, nothing of ours moves that. It is good enough to read from the object beside it; as a reason
//! to cut it is not, since a write by a client whose clock is behind does not move it either.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloudsync_format::record::Kept;
use cloudsync_format::xattr::{self, State};

use crate::host::child::{Child, Status};
use crate::host::fd::Fd;
use crate::host::inode::Loc;
use crate::objects::limits::Use;
use crate::objects::object::Object;
use crate::recall::job::Job;
use crate::sizes::PART;
use crate::volume::Volume;
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::marks::{self, Mark};

/// Whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// A recall's of ours, or the object's: they may be cut.
    Ours,
    /// Somebody's.
    Foreign(&'static str),
}

const DIFFERENT: Whose = Whose::Foreign("it has bytes that its object has not");
const COPIED: Whose = Whose::Foreign("its marks are another file's");

/// What the marks say, whatever the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marks {
    /// The record or the mark is another file's.
    copied: bool,
    /// A recall has begun on it. Zeros may be what it has made room for.
    recalled: bool,
    /// It was one of ours, on this file, and nobody has changed the file since, if times tell.
    explained: bool,
    /// Its mtime is another one than when it was archived.
    changed: bool,
}

impl Marks {
    fn of(status: &Status, gfid: Gfid) -> Self {
        let of_gfid = gfid.to_string();
        let record = status.record.as_ref();
        let mark = status.mark.as_deref().and_then(Mark::parse);
        let mark = mark.as_ref();
        let copied = record.is_some_and(|record| record.gfid != of_gfid)
            || mark.is_some_and(|mark| mark.gfid != of_gfid);
        let attributes = &status.attributes;
        Self {
            copied,
            recalled: status.mark.is_some(),
            explained: !copied && mark.is_some_and(|mark| mark.ctime == attributes.ctime()),
            changed: record.is_some_and(|record| record.mtime != attributes.mtime()),
        }
    }
}

/// Whether somebody must look closer before anybody reads the file from its object: it has bytes, and they are not those of
/// a recall that is under way, or died.
#[must_use]
pub fn is_unexplained(status: &Status, gfid: Gfid) -> bool {
    status.state == State::Repair && status.on_bricks > 0 && !Marks::of(status, gfid).explained
}

/// Whether the bytes in a file in [`State::Repair`] are those of a recall that is under way, or died, as far as the marks
/// tell. Where the volume does not keep its own times, that a recall has begun is all there is to tell it by.
#[must_use]
pub fn is_by_recall(volume: &Volume, status: &Status, gfid: Gfid) -> bool {
    let marks = Marks::of(status, gfid);
    if volume.keeps_own_times() {
        marks.explained
    } else {
        marks.recalled && !marks.copied
    }
}

/// Makes a cold file that has bytes what it is: cold without them, or local with them. Only under the lock.
///
/// # Errors
/// Why not: nothing is cut then.
pub fn settle(
    volume: &Arc<Volume>,
    job: &Job,
    child: &Child,
    loc: &Loc,
    fd: &Fd,
    status: &Status,
) -> Result<(), Failure> {
    let marks = Marks::of(status, job.gfid);
    let whose = match status.on_bricks {
        0 => Whose::Ours,
        bytes if bytes > status.attributes.size() => {
            Whose::Foreign("it has more bytes than were archived")
        }
        _ => compare(volume, child, fd, job.gfid, status, marks)?,
    };
    // The store may have taken its time.
    job.lease.check(&volume.bricks, child, loc)?;
    match whose {
        Whose::Foreign(why) => keep(volume, child, loc, fd, job.gfid, status, why),
        Whose::Ours => child.make_cold_again(loc, fd, &status.attributes, false),
    }
}

fn compare(
    volume: &Arc<Volume>,
    child: &Child,
    fd: &Fd,
    gfid: Gfid,
    status: &Status,
    marks: Marks,
) -> Result<Whose, Failure> {
    let own_times = volume.keeps_own_times();
    let compared = match volume.store() {
        None => Err(Failure::NoStore),
        Some(store) if !store.can_fetch() => {
            return without_parts(status, marks, own_times);
        }
        Some(store) => {
            let object = volume.objects.open(volume.this, &store, gfid, status);
            object.and_then(|object| is_in(&object, child, fd, status.on_bricks, marks.recalled))
        }
    };
    match compared {
        Ok(true) => Ok(Whose::Ours),
        Ok(false) => Ok(DIFFERENT),
        Err(failure) => when_it_fails(status, marks, own_times, &failure).ok_or(failure),
    }
}

/// A plugin of the stock ABI writes into the file or does nothing: it cannot be asked what the object has. Its recalls are
/// always marked, and make room for all of the file.
fn without_parts(status: &Status, marks: Marks, own_times: bool) -> Result<Whose, Failure> {
    let whole = status.on_bricks == status.attributes.size();
    match marks {
        Marks { copied: true, .. } => Ok(COPIED),
        Marks {
            recalled: false, ..
        } => Ok(DIFFERENT),
        Marks { changed, .. } if !own_times || !changed => Ok(Whose::Ours),
        _ if !whole => Ok(DIFFERENT),
        _ => Err(Failure::Damaged(
            "a recall died in it, and somebody has touched it or written to it since; look at it on a brick",
        )),
    }
}

/// What can be said all the same when they could not be compared.
fn when_it_fails(
    status: &Status,
    marks: Marks,
    own_times: bool,
    failure: &Failure,
) -> Option<Whose> {
    let whole = status.on_bricks == status.attributes.size();
    match failure {
        _ if marks.copied && !marks.recalled => Some(COPIED),
        // Fragments of an erasure-coded volume that do not agree: nobody can read them. A client died in its only write, or
        // in one of many.
        Failure::Brick { errno, .. } if *errno == Errno::EIO => {
            let ours = marks.explained || (!marks.changed && status.record.is_some());
            ours.then_some(Whose::Ours)
        }
        // Nothing is left to compare with. A part of a file must not pass for it: a recall that died makes room for all.
        failure if failure.errno() == Errno::ENODATA => {
            let theirs = if marks.recalled {
                own_times && marks.changed && !whole
            } else {
                marks.changed || whole
            };
            theirs.then_some(Whose::Foreign("its object is not in the store"))
        }
        _ => None,
    }
}

/// Whether the first bytes of the file are the object's. `holes`: a zero says nothing.
fn is_in(
    object: &Arc<Object>,
    child: &Child,
    fd: &Fd,
    bytes: u64,
    holes: bool,
) -> Result<bool, Failure> {
    let mut mine = vec![0; usize::try_from(PART.min(bytes)).unwrap_or(0)];
    let mut at = 0;
    while at < bytes {
        if holes {
            match child.next_data(fd, at) {
                Some(data) => at = data.clamp(at, bytes),
                None => return Ok(true),
            }
        }
        let end = bytes.min(at + PART);
        let mine = &mut mine[..usize::try_from(end - at).unwrap_or(0)];
        child.read_exact(fd, at, mine)?;
        let says_nothing = holes && mine.iter().all(|byte| *byte == 0);
        if !says_nothing && !is_same_as(object, at, mine, holes)? {
            return Ok(false);
        }
        at = end;
    }
    Ok(true)
}

fn is_same_as(object: &Arc<Object>, from: u64, mine: &[u8], holes: bool) -> Result<bool, Failure> {
    let mut differs = false;
    let end = from + mine.len() as u64;
    let streamed = object.stream(
        from..end,
        Use::Recall,
        &|| Ok(()),
        &mut |at, chunk, which| {
            let theirs = &chunk.buffer().bytes()[which];
            let start = usize::try_from(at - from).unwrap_or(0);
            differs = !is_same(&mine[start..][..theirs.len()], theirs, holes);
            if differs {
                Err(Failure::Cancelled)
            } else {
                Ok(())
            }
        },
    );
    match streamed {
        _ if differs => Ok(false),
        streamed => streamed.map(|()| true),
    }
}

fn is_same(mine: &[u8], theirs: &[u8], holes: bool) -> bool {
    if mine == theirs {
        return true;
    }
    holes
        && mine
            .iter()
            .zip(theirs)
            .all(|(mine, theirs)| *mine == 0 || mine == theirs)
}

/// The file is local from now on, with the bytes that it has.
fn keep(
    volume: &Volume,
    child: &Child,
    loc: &Loc,
    fd: &Fd,
    gfid: Gfid,
    status: &Status,
    why: &str,
) -> Result<(), Failure> {
    let key = status.key.as_ref().or(status.remote.as_ref());
    let key = key.map(|key| String::from_utf8_lossy(key).into_owned());
    let key = key.unwrap_or_default();
    // Whoever's object it was: it may be the last file that names it.
    if !key.is_empty() {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let kept = Kept {
            seconds: now.as_secs(),
            size: status.attributes.size(),
            key: key.clone(),
        };
        let before = child.attribute(loc, xattr::KEPT)?;
        let before = before.map(|before| String::from_utf8_lossy(&before).into_owned());
        let value = marks::add_kept(before.as_deref().unwrap_or_default(), &kept);
        child.set(fd, "note the object", &[(xattr::KEPT, &value)])?;
    }
    volume.bricks.remove(child, fd, "commit", &xattr::COMMIT)?;
    volume.counters.kept.fetch_add(1, Ordering::Relaxed);
    log::warn!(
        "{} (gfid {gfid}): {why}; its {} bytes are no recall's and are kept: they are the file now. Its marks named object \
         {key}, of {} bytes. See 'Bytes that are not ours' in SEMANTICS.md",
        loc.path(),
        status.on_bricks,
        status.attributes.size(),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::attributes::Attributes;
    use cloudsync_format::claim::Time;
    use cloudsync_format::record::Record;

    const GFID: Gfid = Gfid([7; 16]);
    const EPOCH: Time = Time {
        seconds: 0,
        nanos: 0,
    };

    fn status(on_bricks: u64, mark: Option<String>, record: Option<Gfid>) -> Status {
        let mut attributes = Attributes::blank();
        attributes.show_cold(100);
        Status {
            state: State::Repair,
            attributes,
            on_bricks,
            remote: Some(b"key".to_vec()),
            key: None,
            archived_by_us: true,
            mark: mark.map(String::into_bytes),
            version: None,
            record: record.map(|gfid| Record {
                gfid: gfid.to_string(),
                size: 100,
                mtime: EPOCH,
                checksum: None,
                key: String::new(),
            }),
            sharded_size: None,
            has_left_overs: true,
        }
    }

    fn mark(gfid: Gfid, seconds: i64) -> Option<String> {
        Some(Mark::new(gfid, Time { seconds, nanos: 0 }).to_string())
    }

    const OTHER: Gfid = Gfid([8; 16]);
    const STORE_AWAY: Failure = Failure::Store(Errno::EREMOTEIO);
    const NO_OBJECT: Failure = Failure::Store(Errno::ENODATA);

    #[test]
    fn only_a_recall_of_ours_on_this_file_explains_bytes() {
        let old = Some("1-0123456789abcdef-7".to_owned());
        for (bytes, mark, record, want) in [
            (0, None, Some(GFID), false),
            (50, mark(GFID, 0), Some(GFID), false),
            (50, mark(GFID, 0), None, false),
            (50, mark(GFID, 1), Some(GFID), true),
            (50, mark(OTHER, 0), Some(GFID), true),
            (50, mark(GFID, 0), Some(OTHER), true),
            (50, None, Some(GFID), true),
            (50, old, Some(GFID), true),
        ] {
            let status = status(bytes, mark, record);
            assert_eq!(is_unexplained(&status, GFID), want, "{status:?}");
        }
    }

    #[test]
    fn what_cannot_be_compared_is_cut_only_if_it_cannot_be_somebody_s() {
        let say = |bytes, mark, record, failure: &Failure| {
            let status = status(bytes, mark, record);
            when_it_fails(&status, Marks::of(&status, GFID), true, failure)
        };
        for (bytes, mark, record, failure) in [
            (50, None, Some(GFID), STORE_AWAY),
            (50, mark(GFID, 0), Some(GFID), STORE_AWAY),
            (50, mark(GFID, 0), Some(GFID), NO_OBJECT),
            (100, mark(GFID, 1), Some(GFID), NO_OBJECT),
            (50, None, Some(GFID), NO_OBJECT),
            (50, mark(OTHER, 0), Some(OTHER), NO_OBJECT),
        ] {
            let said = say(bytes, mark, record, &failure);
            assert_eq!(said, None, "{bytes} {record:?} {failure}");
        }
        for (bytes, record, failure) in [
            (50, Some(OTHER), STORE_AWAY),
            (50, Some(OTHER), NO_OBJECT),
            (100, Some(GFID), NO_OBJECT),
            (100, None, NO_OBJECT),
        ] {
            let said = say(bytes, None, record, &failure);
            assert!(
                matches!(said, Some(Whose::Foreign(_))),
                "{bytes} {record:?}"
            );
        }
    }

    #[test]
    fn a_plugin_that_cannot_be_asked_costs_nobody_s_bytes() {
        let say = |bytes, mark, record, own_times| {
            let mut status = status(bytes, mark, record);
            if let Some(record) = &mut status.record {
                record.mtime.seconds = 7;
            }
            without_parts(&status, Marks::of(&status, GFID), own_times)
        };
        let ours = say(50, mark(GFID, 0), Some(GFID), false);
        assert!(matches!(ours, Ok(Whose::Ours)));
        let written = say(50, mark(GFID, 0), Some(GFID), true);
        assert!(matches!(written, Ok(Whose::Foreign(_))));
        assert!(say(100, mark(GFID, 0), Some(GFID), true).is_err());
        assert!(matches!(say(50, None, None, true), Ok(Whose::Foreign(_))));
        assert!(matches!(
            say(50, mark(GFID, 0), None, true),
            Ok(Whose::Ours)
        ));
        let copied = say(50, mark(GFID, 0), Some(OTHER), false);
        assert!(matches!(copied, Ok(Whose::Foreign(_))));
    }

    #[test]
    fn zeros_say_nothing_only_where_a_recall_made_room() {
        assert!(is_same(b"abc", b"abc", false));
        assert!(!is_same(b"a\0c", b"abc", false));
        assert!(is_same(b"a\0c", b"abc", true));
        assert!(!is_same(b"a\0d", b"abc", true));
    }
}
