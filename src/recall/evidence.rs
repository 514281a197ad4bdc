// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Whose are the bytes that lie in a cold file?
//!
//! A recall that died leaves bytes that are worth nothing: the object has them. But a copy of a file with its marks, a
//! restored backup, and what was written while the feature was off look alike, and there the bytes are all that somebody
//! has. So bytes are only cut that are explained (law 10):
//!
//! 1. The record names another file: the marks are copies, and prove nothing. The bytes are kept.
//! 2. The mark is of a recall or handshake of ours on this very file, and nobody has changed the file since it was set
//!    (its ctime says so). They are ours.
//! 3. Otherwise they are compared with the object. What it has too can be cut; anything else is kept.
//!
//! Kept means: the file becomes local with its bytes, as everybody sees them who mounts the volume without us, and
//! [`xattr::KEPT`] remembers the object that it was.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloudsync_format::claim::Time;
use cloudsync_format::record::Kept;
use cloudsync_format::xattr;

use crate::bricks::marks::{self, Mark};
use crate::errno::{Errno, Failure};
use crate::host::attributes::Attributes;
use crate::host::child::{Child, Status};
use crate::host::fd::Fd;
use crate::host::inode::{Gfid, Loc};
use crate::objects::limits::Use;
use crate::recall::job::Job;
use crate::sizes::PIECE;
use crate::volume::Volume;

/// Whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A recall's of ours, or the object's: they may be cut.
    Ours,
    /// Somebody's.
    Foreign(&'static str),
    /// The object tells. `holes`: a recall has made room for bytes that did not come.
    Compare {
        /// Whether a byte of zero says nothing.
        holes: bool,
    },
}

/// What can be said without the store.
#[must_use]
pub fn judge(status: &Status, gfid: Gfid) -> Whose {
    let of_gfid = gfid.to_string();
    if status.on_bricks == 0 {
        return Whose::Ours;
    }
    if status
        .record
        .as_ref()
        .is_some_and(|record| record.gfid != of_gfid)
    {
        return Whose::Foreign("its marks are another file's");
    }
    if status.on_bricks > status.attributes.size() {
        return Whose::Foreign("it has more bytes than were archived");
    }
    let Some(mark) = &status.mark else {
        return Whose::Compare { holes: false };
    };
    match Mark::parse(mark) {
        Some(mark) if mark.gfid != of_gfid => Whose::Foreign("the mark on it is another file's"),
        Some(mark) if mark.ctime == ctime(&status.attributes) => Whose::Ours,
        _ => Whose::Compare { holes: true },
    }
}

/// Whether somebody must look closer before anybody reads the file from its object.
#[must_use]
pub fn is_unexplained(status: &Status, gfid: Gfid) -> bool {
    status.state == xattr::State::Repair && judge(status, gfid) != Whose::Ours
}

/// Whether that can be said without the store, and they are somebody's.
#[must_use]
pub fn is_foreign(status: &Status, gfid: Gfid) -> bool {
    status.state == xattr::State::Repair && matches!(judge(status, gfid), Whose::Foreign(_))
}

fn ctime(attributes: &Attributes) -> Time {
    let (seconds, nanos) = attributes.ctime();
    Time { seconds, nanos }
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
    let gfid = job.gfid;
    let whose = match judge(status, gfid) {
        Whose::Compare { holes } => compare(volume, child, fd, gfid, status, holes)?,
        known => known,
    };
    // The store may have taken its time.
    job.lease.check(&volume.bricks, child, loc)?;
    match whose {
        Whose::Foreign(why) => keep(volume, child, loc, fd, gfid, status, why),
        Whose::Ours | Whose::Compare { .. } => {
            child.make_cold_again(loc, fd, &status.attributes, false)
        }
    }
}

const DIFFERENT: Whose = Whose::Foreign("it has bytes that its object has not");

fn compare(
    volume: &Arc<Volume>,
    child: &Child,
    fd: &Fd,
    gfid: Gfid,
    status: &Status,
    holes: bool,
) -> Result<Whose, Failure> {
    let store = volume.store().ok_or(Failure::NoStore)?;
    if !store.can_fetch() {
        // A plugin of the stock ABI writes into the file or does nothing. Its recalls are always marked.
        return Ok(if holes { Whose::Ours } else { DIFFERENT });
    }
    let mut differs = false;
    let mut mine = vec![0; usize::try_from(PIECE).unwrap_or(0)];
    let object = volume.objects.open(volume.this, &store, gfid, status)?;
    let streamed = object.stream(
        0..status.on_bricks,
        Use::Recall,
        &|| Ok(()),
        &mut |at, chunk, which| {
            let theirs = &chunk.buffer().bytes()[which];
            let mine = &mut mine[..theirs.len()];
            child.read_exact(fd, at, mine)?;
            if is_same(mine, theirs, holes) {
                return Ok(());
            }
            differs = true;
            Err(Failure::Cancelled)
        },
    );
    match streamed {
        _ if differs => Ok(DIFFERENT),
        Ok(()) => Ok(Whose::Ours),
        // Fragments of an erasure-coded volume that do not agree, which nobody can read, and nobody has written to the file
        // since it was archived: a client died in its only write.
        Err(Failure::Brick { errno, .. }) if errno == Errno::EIO && !is_changed(status) => {
            Ok(Whose::Ours)
        }
        // Nothing is left to compare with. Without a mark of a recall the bytes are the file's only ones.
        Err(failure) if failure.errno() == Errno::ENODATA && !holes && is_whole(status) => {
            Ok(Whose::Foreign("its object is not in the store"))
        }
        Err(failure) => Err(failure),
    }
}

/// Whether the bytes can be the whole file: a part of one, of which a brick lost the rest, must not pass for it.
fn is_whole(status: &Status) -> bool {
    is_changed(status) || status.on_bricks == status.attributes.size()
}

/// Whether the file's mtime is another one than when it was archived. Unknown counts as changed.
fn is_changed(status: &Status) -> bool {
    let (seconds, nanos) = status.attributes.mtime();
    let now = Time { seconds, nanos };
    status
        .record
        .as_ref()
        .is_none_or(|record| record.mtime != now)
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
    let own = status
        .record
        .as_ref()
        .is_none_or(|record| record.gfid == gfid.to_string());
    if own {
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
        "{} (gfid {gfid}): {why}; its {} bytes are no recall's and are kept: they are the file now. {} {key}, of {} \
         bytes. See 'Bytes that are not ours' in SEMANTICS.md",
        loc.path(),
        status.on_bricks,
        if own {
            "What was archived is object"
        } else {
            "The marks named object"
        },
        status.attributes.size(),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudsync_format::record::Record;
    use cloudsync_format::xattr::State;

    const GFID: Gfid = Gfid([7; 16]);

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
                mtime: Time {
                    seconds: 0,
                    nanos: 0,
                },
                checksum: None,
                key: String::new(),
            }),
            sharded_size: None,
            has_left_overs: true,
        }
    }

    fn mark(gfid: Gfid, seconds: i64) -> Option<String> {
        let ctime = Time { seconds, nanos: 0 };
        Some(Mark::new(gfid, ctime).to_string())
    }

    #[test]
    fn only_what_is_explained_may_be_cut() {
        let other = Gfid([8; 16]);
        let holes = Whose::Compare { holes: true };
        let plain = Whose::Compare { holes: false };
        let old = Some("1-0123456789abcdef-7".to_owned());
        for (bytes, mark, record, want) in [
            (0, None, Some(other), Whose::Ours),
            (50, mark(GFID, 0), Some(GFID), Whose::Ours),
            (50, mark(GFID, 0), None, Whose::Ours),
            // Somebody has changed it since.
            (50, mark(GFID, 1), Some(GFID), holes),
            (50, None, Some(GFID), plain),
            (50, None, None, plain),
            (50, old, Some(GFID), holes),
            (50, Some("1".to_owned()), None, holes),
        ] {
            let status = status(bytes, mark, record);
            assert_eq!(judge(&status, GFID), want, "{status:?}");
        }
        for (bytes, mark, record) in [
            (50, None, Some(other)),
            (50, mark(other, 0), Some(other)),
            (50, mark(other, 0), None),
            (101, mark(GFID, 0), Some(GFID)),
            (101, None, None),
        ] {
            let status = status(bytes, mark, record);
            let got = judge(&status, GFID);
            assert!(matches!(got, Whose::Foreign(_)), "{status:?}: {got:?}");
        }
    }

    #[test]
    fn zeros_say_nothing_only_where_a_recall_made_room() {
        assert!(is_same(b"abc", b"abc", false));
        assert!(!is_same(b"a\0c", b"abc", false));
        assert!(is_same(b"a\0c", b"abc", true));
        assert!(!is_same(b"a\0d", b"abc", true));
    }
}
