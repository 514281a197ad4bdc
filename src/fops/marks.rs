// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Marks are not their reader's to copy. Ordinary programs see none in a list of attributes, so `rsync -X`, `cp -a` and
//! backups do not carry them to another file, where they would be a lie. Setting one does nothing and succeeds: a
//! restore of a backup that has them, made below us or before this was so, must not fail over what the copy does not need.
//! Removing one is refused: it would lose a file, and no program does it unless somebody meant it.
//!
//! Getting one by name works, because scripts ask so whether a file is cold. The archiver has names of its own for what
//! it writes ([`cloudsync_format::command`]).

#![forbid(unsafe_code)]

use std::ffi::CStr;

use cloudsync_format::{command, xattr};

use crate::host::dict::DictRef;

/// Patterns of marks.
const MARKS: [&CStr; 2] = [c"trusted.glusterfs.cs.*", c"trusted.cloudsync.*"];

/// What the archiver writes, and what that stands for.
const STANDS_FOR: [(&CStr, &CStr); 2] =
    [(command::LAST, xattr::LAST), (command::KEPT, xattr::KEPT)];

/// What is left of the attributes that a setxattr sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// None: they were marks.
    All,
    /// Some, perhaps all.
    Rest,
    /// It may not be done.
    Forbidden,
}

/// Whether that is the name of a mark.
#[must_use]
pub fn is_mark(name: &CStr) -> bool {
    MARKS.iter().any(|pattern| {
        let prefix = &pattern.to_bytes()[..pattern.count_bytes() - 1];
        name.to_bytes().starts_with(prefix)
    })
}

/// The mark that the archiver means by this name.
#[must_use]
pub fn stands_for(name: &CStr) -> Option<&'static CStr> {
    STANDS_FOR
        .into_iter()
        .find_map(|(from, to)| (from == name).then_some(to))
}

/// Takes marks out of what is to be set, and puts those in that the archiver means. `uid`: who sets it.
pub fn take_out(dict: DictRef<'_>, uid: u32) -> Taken {
    let marks: usize = hide(dict);
    for (from, to) in STANDS_FOR {
        let Some(value) = dict.bytes(from) else {
            continue;
        };
        // Only what is kept may not be written: that is ours.
        if uid != 0 || to == xattr::KEPT || dict.set_bytes(to, &value).is_err() {
            return Taken::Forbidden;
        }
        dict.remove(from);
    }
    if marks > 0 && dict.is_empty() {
        Taken::All
    } else {
        Taken::Rest
    }
}

/// Takes marks out of what is shown. Returns how many there were.
pub fn hide(dict: DictRef<'_>) -> usize {
    MARKS
        .into_iter()
        .map(|pattern| dict.remove_matching(pattern))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_one_and_what_scripts_set_is_none() {
        let marks = xattr::COMMIT.into_iter().chain([xattr::LAST, xattr::KEPT]);
        for mark in marks {
            assert!(is_mark(mark), "{mark:?}");
        }
        for other in [
            xattr::UPLOAD_COMPLETE,
            c"trusted.glusterfs.c",
            c"user.cloudsync.kept",
            c"",
        ] {
            assert!(!is_mark(other), "{other:?}");
        }
    }

    #[test]
    fn the_archiver_s_names_stand_for_marks() {
        for (from, to) in STANDS_FOR {
            assert!(!is_mark(from) && is_mark(to));
            assert_eq!(stands_for(from), Some(to));
        }
        assert_eq!(stands_for(xattr::LAST), None);
    }
}
