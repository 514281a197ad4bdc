// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A file's status on the bricks: its state, attributes and marks.

#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::fmt::Debug;
use std::time::Duration;

use cloudsync_format::claim::Time;
use cloudsync_format::record::Record;
use cloudsync_format::xattr::{self, State};

use crate::errno::Failure;

/// A file's attributes, as the host passes them.
pub trait Attributes: Copy + Debug {
    /// The size in bytes.
    fn size(&self) -> u64;
    /// The number of 512-byte blocks.
    fn blocks(&self) -> u64;
    /// The preferred size of a transfer, in bytes.
    fn block_size(&self) -> u32;
    /// The number of hard links.
    fn links(&self) -> u32;
    /// Whether it is a regular file.
    fn is_file(&self) -> bool;
    /// The time of the last access.
    fn atime(&self) -> Time;
    /// The time of the last change of the bytes.
    fn mtime(&self) -> Time;
    /// The time of the last change of bytes or attributes.
    fn ctime(&self) -> Time;
    /// Changes the attributes to those shown for a cold file of `size` bytes.
    fn show_cold(&mut self, size: u64);
    /// Changes the time of the last access to now, or to the next possible one if it is in the future.
    fn access(&mut self);
    /// Changes the time of the last access to the next possible one.
    fn access_next(&mut self);
}

/// A file's state, attributes and marks.
#[derive(Clone, Debug)]
pub struct Status<A> {
    /// Its state.
    pub state: State,
    /// Its attributes. For a cold file, the size is that of the archived file.
    pub attributes: A,
    /// The size on the bricks, in any state.
    pub on_bricks: u64,
    /// The key of its object for the bricks (`cs.remote`).
    pub remote: Option<Vec<u8>>,
    /// The key of its object as written by our archiver (`cs.key`).
    pub key: Option<Vec<u8>>,
    /// Whether our handshake archived it. It writes the object's key to `remote` too, while `key` may be set by others
    /// later.
    pub archived_by_us: bool,
    /// The value of a job's mark on the file (`cs.downloading`).
    pub mark: Option<Vec<u8>>,
    /// The version (etag) of its object when the file was archived.
    pub version: Option<Vec<u8>>,
    /// The record of what was archived.
    pub record: Option<Record>,
    /// What identifies it in an archive whose names are its own.
    pub archive_uuid: Option<[u8; 16]>,
    /// The size of the whole file, if this is the first shard of one.
    pub sharded_size: Option<u64>,
    /// Whether it has the size attribute of a cold file (`cs.object_size`).
    pub has_left_overs: bool,
}

/// The marks that [`Status::of`] reads.
pub const MARKS: &[&CStr] = &[
    xattr::REMOTE,
    xattr::DOWNLOADING,
    xattr::OBJECT_SIZE,
    xattr::KEY,
    xattr::VERSION,
    xattr::RECORD,
    xattr::ARCHIVE_UUID,
    xattr::SHARDED_SIZE,
];

/// What is wrong with a cold file without a size.
const NO_SIZE: &str = "its recorded size is missing";

/// How often, and after which pause, the bricks are asked again.
const AGAIN: (u32, Duration) = (5, Duration::from_millis(20));

/// Asks for a status that may be torn: a brick reads the size and the attributes one after the other, and another client may
/// commit a recall meanwhile, for which the brick removes the same attributes one after the other. So a file may seem to be
/// cold with no bytes and no size. It is only if it stays so.
///
/// # Errors
/// Those of `ask`.
pub fn untorn<A>(
    mut ask: impl FnMut() -> Result<Status<A>, Failure>,
    pause: impl Fn(Duration),
) -> Result<Status<A>, Failure> {
    let (times, time) = AGAIN;
    for _ in 0..times {
        match ask() {
            Err(Failure::Damaged(NO_SIZE)) => pause(time),
            answer => return answer,
        }
    }
    ask()
}

impl<A: Attributes> Status<A> {
    /// Determines a file's status. `attributes`: as answered by the bricks, so those of the stub if it is cold. `value`
    /// returns an extended attribute.
    ///
    /// # Errors
    /// [`Failure::Damaged`]: the file is cold and has no valid size.
    pub fn of(
        mut attributes: A,
        value: impl Fn(&CStr) -> Option<Vec<u8>>,
    ) -> Result<Self, Failure> {
        let remote = value(xattr::REMOTE);
        let mark = value(xattr::DOWNLOADING);
        let recorded = value(xattr::OBJECT_SIZE);
        let on_bricks = attributes.size();
        let state = state(
            remote.is_some(),
            mark.is_some(),
            on_bricks,
            recorded.is_some(),
        );
        if matches!(state, State::Remote | State::Repair) {
            let size = recorded.as_deref().ok_or(Failure::Damaged(NO_SIZE))?;
            let wrong = Failure::Damaged("its recorded size is not a number");
            attributes.show_cold(xattr::size(size).ok_or(wrong)?);
        }
        Ok(Self {
            state,
            attributes,
            on_bricks,
            key: value(xattr::KEY),
            mark,
            archived_by_us: value(xattr::VERSION).is_some(),
            version: value(xattr::VERSION).filter(|version| !version.is_empty()),
            record: value(xattr::RECORD)
                .and_then(|record| Record::parse(&String::from_utf8(record).ok()?))
                .filter(|record| remote.as_ref().is_some_and(|key| record.is_of(key))),
            archive_uuid: value(xattr::ARCHIVE_UUID).and_then(uuid),
            sharded_size: value(xattr::SHARDED_SIZE)
                .and_then(|value| Some(u64::from_be_bytes(value.get(..8)?.try_into().ok()?))),
            has_left_overs: recorded.is_some(),
            remote,
        })
    }

    /// The name of the store that has its object; `None`: the volume's own, as for files that have no record.
    #[must_use]
    pub fn store(&self) -> Option<&str> {
        self.record.as_ref()?.store.as_deref()
    }

    /// Whether a brick died during a commit: the file has all its bytes, but still `remote`.
    #[must_use]
    pub fn is_half_committed(&self) -> bool {
        self.state == State::Downloading && self.remote.is_some()
    }
}

/// Determines a file's state from its marks and the bytes on the bricks, as the bricks do (`posix_cs_check_status`),
/// except for a file that has bytes and no recorded size: only a commit removes the size, so a brick died during one.
#[must_use]
pub const fn state(remote: bool, marked: bool, on_bricks: u64, has_size: bool) -> State {
    match (remote, marked, on_bricks) {
        (true, false, 0) => State::Remote,
        (true, _, 1..) if !has_size => State::Downloading,
        (true, _, _) => State::Repair,
        (false, true, _) => State::Downloading,
        (false, false, _) => State::Local,
    }
}

/// Converts the value of an attribute, from which a final zero byte was removed as if it ended a string.
fn uuid(mut value: Vec<u8>) -> Option<[u8; 16]> {
    if value.len() == 15 {
        value.push(0);
    }
    value.try_into().ok()
}

/// The outcome of an attempt to read through the bricks' check of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The bricks checked the file's state and refused.
    Refused,
    /// They checked it and read.
    Checked,
    /// They read without checking.
    Unchecked,
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Asks until the answer at `whole` is a status, and returns how often it was asked.
    fn asked(whole: u32) -> (Result<Status<()>, Failure>, u32) {
        let times = Cell::new(0);
        let ask = || {
            times.set(times.get() + 1);
            match times.get() {
                time if time < whole => Err(Failure::Damaged(NO_SIZE)),
                _ => Ok(Status {
                    state: State::Local,
                    attributes: (),
                    on_bricks: 1,
                    remote: None,
                    key: None,
                    archived_by_us: false,
                    mark: None,
                    version: None,
                    record: None,
                    archive_uuid: None,
                    sharded_size: None,
                    has_left_overs: false,
                }),
            }
        };
        let answer = untorn(ask, |_| {});
        (answer, times.get())
    }

    #[test]
    fn a_torn_status_is_asked_for_again() {
        for whole in 1..=6 {
            let (answer, times) = asked(whole);
            assert!(answer.is_ok());
            assert_eq!(times, whole);
        }
        let (answer, times) = asked(7);
        assert!(matches!(answer, Err(Failure::Damaged(_))));
        assert_eq!(times, 6);
        // Another failure is one at once.
        let times = Cell::new(0);
        let ask = || {
            times.set(times.get() + 1);
            Err::<Status<()>, _>(Failure::Disconnected)
        };
        assert!(untorn(ask, |_| {}).is_err());
        assert_eq!(times.get(), 1);
    }
}
