// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The policy, as pure functions: decides what to do with an operation, and what to do if the bricks refuse it.
//!
//! A client's knowledge of a file is only a hint, because another client may just have archived it. So an operation on
//! bytes is wound with the status key, on which the bricks refuse it unless the file is local. The hint only saves the round
//! trip of an operation that would be refused. A read whose answer will show whether the file was local is wound without the
//! key ([`crate::labels`]).

#![forbid(unsafe_code)]

use cloudsync_format::xattr::State;

use crate::errno::Errno;

/// How often an operation is wound again after a recall before it fails with EBUSY. This requires that the file is
/// archived again after each recall.
pub const MAX_ATTEMPTS: u8 = 10;

/// The class of an operation: how it must be treated on a file that may be cold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Passes through.
    Pass,
    /// Shows attributes; on request, the bricks' answer also says whether the file is cold, and its true size.
    Attributes,
    /// Shows attributes; the bricks show the stub's, and cannot return the marks with them.
    Patch,
    /// Needs the bytes; with the status key, the bricks refuse it unless the file is local.
    Bytes,
    /// Needs the bytes, but the bricks do not check the state.
    Unchecked,
    /// The archiver reports that its upload is complete.
    Archive,
    /// A user's command on the file: see the translator's `control`.
    Control,
    /// Lists extended attributes, from which the marks are removed.
    List,
    /// Samba reads a file's DOS attributes, which for a cold file show that it is offline.
    DosAttributes,
    /// Sets only marks, which the caller may not set: succeeds without effect.
    Pretend,
    /// The caller may not do it.
    Forbidden,
}

/// A file's state, as far as this client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Not known.
    Unknown,
    /// Local, according to the bricks' last answer.
    Local,
    /// Cold, according to the bricks' last answer.
    Cold {
        /// The file's size in bytes.
        size: u64,
    },
}

/// What to do with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Wind it to the child unchanged.
    Wind,
    /// Wind it with the status key.
    WindAsking,
    /// Wind it unchanged, and compare the label in its answer.
    WindTrusting,
    /// Park it until the file is local.
    Recall,
    /// Park it and run the archiver's handshake.
    Archive,
    /// Answer it ourselves.
    Control,
    /// Answer it with success, without effect.
    Pretend,
    /// Answer it with an error.
    Refuse(Errno),
}

/// What an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The file must be local.
    Bytes,
    /// The file must be local, but it is not known to be cold: it may be enough to query its state.
    Check,
    /// Some bytes of the file, from any source.
    Read,
    /// Where the file's data and holes are, from any source.
    Extents,
    /// The file must be local with at least this many of its first bytes: the operation truncates the rest.
    First(u64),
    /// Marks left by a recall that died after its commit must be removed.
    Tidy,
    /// Bytes in a cold file that no recall explains must be settled, unless the file is locked.
    Inspect,
    /// Any bytes in a cold file must be settled before it is read from its object, unless the file is locked.
    SettleNow,
    /// As [`Self::SettleNow`], but waits for the lock.
    Settle,
}

/// Decides what to do with an operation that arrives (`attempt` 0) or whose recall is done (`attempt` 1 and more). `trusts`:
/// it is a read of a file whose label is trusted.
#[must_use]
pub const fn on_arrival(class: Class, known: Known, attempt: u8, trusts: bool) -> Action {
    match (class, known) {
        _ if attempt > MAX_ATTEMPTS => Action::Refuse(Errno::EBUSY),
        (Class::Pass | Class::Patch | Class::List, _) => Action::Wind,
        (Class::Pretend, _) => Action::Pretend,
        (Class::Forbidden, _) => Action::Refuse(Errno::EPERM),
        (Class::Attributes, _) => Action::WindAsking,
        (Class::Bytes, Known::Cold { .. }) => Action::Recall,
        (Class::Bytes, _) if trusts && attempt == 0 => Action::WindTrusting,
        (Class::Bytes, Known::Unknown | Known::Local) => Action::WindAsking,
        // The brick does not check the state, so it is queried immediately before each operation.
        (Class::Unchecked, _) if attempt == 0 => Action::Recall,
        (Class::Unchecked, Known::Cold { .. }) => Action::Recall,
        (Class::Unchecked, _) => Action::WindAsking,
        (Class::Archive, _) => Action::Archive,
        (Class::Control, _) | (Class::DosAttributes, Known::Cold { .. }) => Action::Control,
        (Class::DosAttributes, _) => Action::Wind,
    }
}

/// Whether a failed operation on bytes must be parked until the file is local, and then wound again.
///
/// `errno`: the bricks' answer. `state`: the file's state in that answer, which some operations do not return.
#[must_use]
pub const fn refused_as_cold(class: Class, errno: i32, state: Option<State>, attempt: u8) -> bool {
    if !matches!(class, Class::Bytes | Class::Unchecked) || errno != libc::EIO {
        return false;
    }
    match state {
        Some(State::Remote | State::Repair | State::Downloading) => true,
        // An I/O error of the brick, or a refusal without a state (ftruncate's never has one). Querying the state
        // distinguishes them, but it may change again before the operation is back on the brick.
        Some(State::Local | State::Error) | None => attempt < MAX_ATTEMPTS,
    }
}

/// What to do with a write that a brick has carried out, but too few for a success: the others refused it, or are down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partly {
    /// Wind it again once the file is local: it writes the same bytes to the same place.
    Repeat,
    /// Wind it again only if the file is cold. Then that brick missed the archiving, and healing replaces what it has.
    /// Of a local file, it has what counts, and the bytes would be appended twice.
    RepeatIfCold,
    /// Unwind the bricks' error.
    Fail,
}

/// Chooses what to do with a write that a brick has carried out, but too few. `appends`: at the end of the file.
#[must_use]
pub const fn partly_written(appends: bool, attempt: u8) -> Partly {
    match appends {
        _ if attempt >= MAX_ATTEMPTS => Partly::Fail,
        true => Partly::RepeatIfCold,
        false => Partly::Repeat,
    }
}

/// The source of the bytes for a read of a cold file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The bricks, once the file is local, or the memory of its recall, once that has the whole file.
    Bricks,
    /// The plugin, which answers the read itself. The file stays cold.
    Plugin,
    /// The object.
    Object {
        /// Whether the file is also recalled. Otherwise it stays cold.
        recall: bool,
    },
}

/// Chooses the source for a read of a cold file. `small`: fetching the whole file takes no longer than fetching a part.
///
/// `can_fetch`: the store's plugin can fetch parts. `can_read`: it cannot, but it can answer reads, as
/// `cloudsync-remote-read` wants it to. `may_recall`: neither `cloudsync-remote-read` nor the guard nor a
/// full brick prevents a recall. `checked`: the setting `reads=checked`.
#[must_use]
pub const fn source(
    small: bool,
    can_fetch: bool,
    can_read: bool,
    may_recall: bool,
    checked: bool,
) -> Source {
    match (can_fetch, may_recall) {
        (false, _) if can_read => Source::Plugin,
        (false, _) => Source::Bricks,
        (true, true) if small || checked => Source::Bricks,
        (true, recall) => Source::Object { recall },
    }
}

/// Answers a seek in a cold file of `size` bytes: an object has no holes before its end. `data`: SEEK_DATA, otherwise
/// SEEK_HOLE (lseek(2)).
///
/// # Errors
/// ENXIO: `offset` is not before the end.
pub const fn seek(data: bool, offset: u64, size: u64) -> Result<u64, Errno> {
    match (data, offset < size) {
        (_, false) => Err(Errno::ENXIO),
        (true, true) => Ok(offset),
        (false, true) => Ok(size),
    }
}

/// Whether a short read may be due to a file that was truncated after the brick's check.
///
/// The brick checks the state, reads, and gets the size, in this order. After a truncation in between, the read does
/// not end at the size.
#[must_use]
pub const fn read_is_suspicious(
    requested: u64,
    offset: u64,
    got: u64,
    size: u64,
    attempt: u8,
) -> bool {
    attempt == 0 && got < requested && (size == 0 || offset + got < size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [Class; 11] = [
        Class::Pass,
        Class::Attributes,
        Class::Patch,
        Class::Bytes,
        Class::Unchecked,
        Class::Archive,
        Class::Control,
        Class::List,
        Class::DosAttributes,
        Class::Pretend,
        Class::Forbidden,
    ];
    const COLD: Known = Known::Cold { size: 7 };

    #[test]
    fn every_class_and_state_has_its_action() {
        use Action::{Archive, Control, Pretend, Recall, Wind, WindAsking};
        const FORBIDDEN: Action = Action::Refuse(Errno::EPERM);
        // class x (unknown, local, cold) at attempt 0, then at attempt 1
        let table = [
            (Class::Pass, [Wind, Wind, Wind], [Wind, Wind, Wind]),
            (Class::Attributes, [WindAsking; 3], [WindAsking; 3]),
            (Class::Patch, [Wind; 3], [Wind; 3]),
            (
                Class::Bytes,
                [WindAsking, WindAsking, Recall],
                [WindAsking, WindAsking, Recall],
            ),
            (
                Class::Unchecked,
                [Recall; 3],
                [WindAsking, WindAsking, Recall],
            ),
            (Class::Archive, [Archive; 3], [Archive; 3]),
            (Class::Control, [Control; 3], [Control; 3]),
            (Class::List, [Wind; 3], [Wind; 3]),
            (
                Class::DosAttributes,
                [Wind, Wind, Control],
                [Wind, Wind, Control],
            ),
            (Class::Pretend, [Pretend; 3], [Pretend; 3]),
            (Class::Forbidden, [FORBIDDEN; 3], [FORBIDDEN; 3]),
        ];
        assert_eq!(table.map(|row| row.0), CLASSES);
        for (class, first, again) in table {
            for (column, known) in [Known::Unknown, Known::Local, COLD].into_iter().enumerate() {
                assert_eq!(
                    on_arrival(class, known, 0, false),
                    first[column],
                    "{class:?} {known:?} 0"
                );
                assert_eq!(
                    on_arrival(class, known, 1, false),
                    again[column],
                    "{class:?} {known:?} 1"
                );
            }
        }
    }

    #[test]
    fn only_the_first_attempt_at_bytes_of_a_file_that_is_not_cold_trusts_a_label() {
        for class in CLASSES {
            for known in [Known::Unknown, Known::Local, COLD] {
                for attempt in 0..3 {
                    let expected = match (class, known, attempt) {
                        (Class::Bytes, Known::Unknown | Known::Local, 0) => Action::WindTrusting,
                        _ => on_arrival(class, known, attempt, false),
                    };
                    assert_eq!(on_arrival(class, known, attempt, true), expected);
                }
            }
        }
    }

    #[test]
    fn every_kind_of_file_and_every_setting_has_its_source() {
        const BACK: Source = Source::Object { recall: true };
        const COLD: Source = Source::Object { recall: false };
        use Source::Bricks;
        // (can fetch, may recall, checked): a small file, a large one
        let table = [
            ((false, false, false), [Bricks, Bricks]),
            ((false, false, true), [Bricks, Bricks]),
            ((false, true, false), [Bricks, Bricks]),
            ((false, true, true), [Bricks, Bricks]),
            ((true, false, false), [COLD, COLD]),
            ((true, false, true), [COLD, COLD]),
            ((true, true, false), [Bricks, BACK]),
            ((true, true, true), [Bricks, Bricks]),
        ];
        for ((can_fetch, may_recall, checked), sources) in table {
            for (small, want) in [true, false].into_iter().zip(sources) {
                let got = source(small, can_fetch, false, may_recall, checked);
                assert_eq!(got, want, "{small} {can_fetch} {may_recall} {checked}");
                let got = source(small, can_fetch, true, may_recall, checked);
                let want = if can_fetch { want } else { Source::Plugin };
                assert_eq!(got, want, "{small} {can_fetch} {may_recall} {checked}");
            }
        }
    }

    #[test]
    fn no_operation_is_tried_for_ever() {
        for class in CLASSES {
            for known in [Known::Unknown, Known::Local, COLD] {
                assert_eq!(
                    on_arrival(class, known, MAX_ATTEMPTS + 1, true),
                    Action::Refuse(Errno::EBUSY)
                );
            }
        }
    }

    #[test]
    fn a_refusal_is_looked_at_again_and_an_eio_without_a_state_not_for_ever() {
        for state in [State::Remote, State::Repair, State::Downloading] {
            assert!(refused_as_cold(Class::Bytes, libc::EIO, Some(state), 0));
            assert!(refused_as_cold(Class::Bytes, libc::EIO, Some(state), 5));
        }
        for state in [None, Some(State::Local), Some(State::Error)] {
            assert!(refused_as_cold(Class::Bytes, libc::EIO, state, 0));
            assert!(refused_as_cold(Class::Bytes, libc::EIO, state, 9));
            assert!(!refused_as_cold(Class::Bytes, libc::EIO, state, 10));
        }
        assert!(!refused_as_cold(
            Class::Bytes,
            libc::ENOSPC,
            Some(State::Remote),
            0
        ));
        for class in [
            Class::Pass,
            Class::Attributes,
            Class::Patch,
            Class::Archive,
            Class::Control,
        ] {
            assert!(!refused_as_cold(class, libc::EIO, Some(State::Remote), 0));
        }
    }

    #[test]
    fn what_a_brick_has_carried_out_is_not_appended_again_to_a_local_file() {
        assert_eq!(partly_written(false, 0), Partly::Repeat);
        assert_eq!(partly_written(false, 9), Partly::Repeat);
        assert_eq!(partly_written(true, 0), Partly::RepeatIfCold);
        assert_eq!(partly_written(true, 9), Partly::RepeatIfCold);
        for appends in [true, false] {
            assert_eq!(partly_written(appends, MAX_ATTEMPTS), Partly::Fail);
        }
    }

    #[test]
    fn a_cold_file_has_data_up_to_its_end() {
        for data in [true, false] {
            assert_eq!(seek(data, 10, 10), Err(Errno::ENXIO));
            assert_eq!(seek(data, 0, 0), Err(Errno::ENXIO));
        }
        assert_eq!((seek(true, 3, 10), seek(false, 3, 10)), (Ok(3), Ok(10)));
    }

    #[test]
    fn a_short_read_is_believed_only_at_the_end_of_the_file() {
        assert!(!read_is_suspicious(4096, 0, 4096, 4096, 0), "whole");
        assert!(!read_is_suspicious(4096, 0, 100, 100, 0), "to the end");
        assert!(!read_is_suspicious(4096, 8192, 0, 8192, 0), "at the end");
        assert!(!read_is_suspicious(4096, 9000, 0, 100, 0), "past the end");
        assert!(
            read_is_suspicious(4096, 0, 0, 0, 0),
            "empty: a stub looks the same"
        );
        assert!(read_is_suspicious(4096, 0, 100, 0, 0), "cut after the read");
        assert!(
            read_is_suspicious(4096, 0, 100, 8192, 0),
            "growing again: a recall"
        );
        assert!(!read_is_suspicious(4096, 0, 0, 0, 1), "checked already");
    }
}
