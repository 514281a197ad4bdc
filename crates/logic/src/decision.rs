// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The whole policy, as pure functions: what to do with an operation, and what to do when the bricks refuse it.
//!
//! What a client knows of a file is only a hint: another client may have archived it a moment ago. So an operation
//! on bytes is never wound without asking the bricks to refuse it unless the file is local (the status key); the
//! hint only saves the round trip when the refusal is foreseeable.

#![forbid(unsafe_code)]

use cloudsync_format::xattr::State;

use crate::errno::Errno;

/// How often an operation is wound again after a recall before it is answered EBUSY: the file would have to be
/// archived again by somebody each time in between.
pub const MAX_ATTEMPTS: u8 = 10;

/// What an operation means for a file that may be cold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing: it passes.
    Pass,
    /// It shows attributes, and the bricks tell along with them whether the file is cold, and its true size, when asked.
    Look,
    /// It shows attributes, and the bricks show the stub's and cannot be asked.
    Patch,
    /// It needs the bytes, and the bricks refuse it unless the file is local when asked for the status.
    Bytes,
    /// It needs the bytes, but the bricks do not check.
    Unchecked,
    /// The archiver says that its upload is complete.
    Archive,
    /// It asks us, or tells us, something about the file: see the translator's `control`.
    Control,
    /// It lists extended attributes: the marks are not among them.
    List,
    /// It sets nothing but marks, which are not its caller's to set.
    Pretend,
    /// It is not its caller's to do.
    Forbidden,
}

/// What this client knows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing yet.
    Unknown,
    /// It was local when the bricks last told.
    Local,
    /// It was cold.
    Cold {
        /// The file's size in bytes.
        size: u64,
    },
}

/// What to do with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Wind it to the child as it is.
    Wind,
    /// Wind it with the status key.
    WindAsking,
    /// Park it until the file is local.
    Recall,
    /// Park it and do the archiver's handshake.
    Archive,
    /// Answer it ourselves.
    Control,
    /// Answer it with success and do nothing.
    Pretend,
    /// Answer it with an error.
    Refuse(Errno),
}

/// What an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The file must be local.
    Bytes,
    /// The same, if it is known to be cold: nothing has said so.
    Look,
    /// Some bytes of it, wherever they are.
    Read,
    /// The file must be local with its first bytes, so many of them: the operation cuts what is behind.
    First(u64),
    /// What a recall left behind next to its end must be tidied up.
    Tidy,
    /// Bytes in a cold file that nothing explains must be looked into, if nobody is at work on it.
    LookInto,
    /// All bytes in a cold file must be looked into, if nobody is at work on it: somebody is about to read it from its
    /// object.
    SettleNow,
    /// The same, after whoever is at work on it.
    Settle,
}

/// What to do with an operation that arrives (`attempt` 0) or whose recall is done (`attempt` 1 and more).
#[must_use]
pub const fn on_arrival(class: Class, known: Known, attempt: u8) -> Action {
    match (class, known) {
        _ if attempt > MAX_ATTEMPTS => Action::Refuse(Errno::EBUSY),
        (Class::Pass | Class::Patch | Class::List, _) => Action::Wind,
        (Class::Pretend, _) => Action::Pretend,
        (Class::Forbidden, _) => Action::Refuse(Errno::EPERM),
        (Class::Look, _) => Action::WindAsking,
        (Class::Bytes, Known::Cold { .. }) => Action::Recall,
        (Class::Bytes, Known::Unknown | Known::Local) => Action::WindAsking,
        // Nobody checks on the brick, so we look right before, every time.
        (Class::Unchecked, _) if attempt == 0 => Action::Recall,
        (Class::Unchecked, Known::Cold { .. }) => Action::Recall,
        (Class::Unchecked, _) => Action::WindAsking,
        (Class::Archive, _) => Action::Archive,
        (Class::Control, _) => Action::Control,
    }
}

/// Whether an operation on bytes that failed must be parked until the file is local and then wound again.
///
/// `errno` is the bricks' answer; `state` is what came with it (not every operation's refusal carries it).
#[must_use]
pub const fn refused_as_cold(class: Class, errno: i32, state: Option<State>, attempt: u8) -> bool {
    if !matches!(class, Class::Bytes | Class::Unchecked) || errno != libc::EIO {
        return false;
    }
    match state {
        Some(State::Remote | State::Repair | State::Downloading) => true,
        // The brick's own EIO, or a refusal that does not say so (ftruncate's never does). Looking tells them apart, but
        // a file may be marked, archived or emptied again before the operation is back on the brick.
        Some(State::Local | State::Error) | None => attempt < MAX_ATTEMPTS,
    }
}

/// Where a read of a cold file gets its bytes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the bricks, once the file is back, or from its recall, once that has all of it in memory.
    Bricks,
    /// From the object; and the file is brought back meanwhile, or stays cold.
    Object {
        /// Which of the two.
        recall: bool,
    },
}

/// What a read of a cold file waits for. `small`: the file comes as fast as a part of it would.
///
/// `can_fetch`: the store's plugin can fetch parts. `may_recall`: neither `cloudsync-remote-read`, nor the guard, nor a
/// full brick is against it. `checked`: the setting `reads=checked`.
#[must_use]
pub const fn source(small: bool, can_fetch: bool, may_recall: bool, checked: bool) -> Source {
    match (can_fetch, may_recall) {
        (false, _) => Source::Bricks,
        (true, true) if small || checked => Source::Bricks,
        (true, recall) => Source::Object { recall },
    }
}

/// Whether a read that came back short may have met a file that was cut after the brick's check.
///
/// The brick checks the state, reads, and takes the size, one after the other. A cut in between shows as a short
/// read whose size does not end where the read ended.
#[must_use]
pub const fn read_is_suspicious(asked: u64, offset: u64, got: u64, size: u64, attempt: u8) -> bool {
    attempt == 0 && got < asked && (size == 0 || offset + got < size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [Class; 10] = [
        Class::Pass,
        Class::Look,
        Class::Patch,
        Class::Bytes,
        Class::Unchecked,
        Class::Archive,
        Class::Control,
        Class::List,
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
            (Class::Look, [WindAsking; 3], [WindAsking; 3]),
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
            (Class::Pretend, [Pretend; 3], [Pretend; 3]),
            (Class::Forbidden, [FORBIDDEN; 3], [FORBIDDEN; 3]),
        ];
        assert_eq!(table.map(|row| row.0), CLASSES);
        for (class, first, again) in table {
            for (column, known) in [Known::Unknown, Known::Local, COLD].into_iter().enumerate() {
                assert_eq!(
                    on_arrival(class, known, 0),
                    first[column],
                    "{class:?} {known:?} 0"
                );
                assert_eq!(
                    on_arrival(class, known, 1),
                    again[column],
                    "{class:?} {known:?} 1"
                );
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
                let got = source(small, can_fetch, may_recall, checked);
                assert_eq!(got, want, "{small} {can_fetch} {may_recall} {checked}");
            }
        }
    }

    #[test]
    fn no_operation_is_tried_for_ever() {
        for class in CLASSES {
            for known in [Known::Unknown, Known::Local, COLD] {
                assert_eq!(
                    on_arrival(class, known, MAX_ATTEMPTS + 1),
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
            Class::Look,
            Class::Patch,
            Class::Archive,
            Class::Control,
        ] {
            assert!(!refused_as_cold(class, libc::EIO, Some(State::Remote), 0));
        }
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
        assert!(!read_is_suspicious(4096, 0, 0, 0, 1), "looked at already");
    }
}
