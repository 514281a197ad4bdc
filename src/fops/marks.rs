// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Hides marks from ordinary programs and protects them.
//!
//! Marks are left out of lists of attributes, so that `rsync -X`, `cp -a` and backups do not copy them to another file,
//! for which they would be wrong. Setting one succeeds without effect, because restoring a backup that contains marks
//! must not fail. Removing one is refused, because it could lose the file.
//!
//! Getting a mark by name works, because scripts use it to detect a cold file. The archiver writes marks under names of
//! its own ([`cloudsync_format::command`]).

#![forbid(unsafe_code)]

use std::ffi::CStr;

use cloudsync_format::{command, xattr};

use crate::host::dict::DictRef;

/// Patterns that match the names of marks.
const MARKS: [&CStr; 2] = [c"trusted.glusterfs.cs.*", c"trusted.cloudsync.*"];

/// Attributes that the programs of an archive for the stock translator set on the files that they archive, of which its
/// plugin gets the first. Lists leave them out too, so that a copy of the file does not have them.
const OF_ARCHIVES: [&CStr; 3] = [
    xattr::ARCHIVE_UUID,
    c"trusted.cloudsync.product-id",
    c"trusted.cloudsync.store-id",
];

/// The archiver's names, and the marks that they stand for.
const STANDS_FOR: [(&CStr, &CStr); 2] =
    [(command::LAST, xattr::LAST), (command::KEPT, xattr::KEPT)];

/// What remains of the attributes that a setxattr sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing: all of them were marks.
    All,
    /// Some or all of them.
    Rest,
    /// The setxattr must be refused.
    Forbidden,
}

/// Whether this is the name of a mark.
#[must_use]
pub fn is_mark(name: &CStr) -> bool {
    !OF_ARCHIVES.contains(&name)
        && MARKS.iter().any(|pattern| {
            let prefix = &pattern.to_bytes()[..pattern.count_bytes() - 1];
            name.to_bytes().starts_with(prefix)
        })
}

/// Returns the mark that the archiver's name stands for.
#[must_use]
pub fn stands_for(name: &CStr) -> Option<&'static CStr> {
    STANDS_FOR
        .into_iter()
        .find_map(|(from, to)| (from == name).then_some(to))
}

/// Removes marks from the attributes to be set, and replaces the archiver's names by the marks they stand for. `uid`:
/// the caller's user id.
pub fn take_out(dict: DictRef<'_>, uid: u32) -> Taken {
    let values = OF_ARCHIVES.map(|name| dict.exact_bytes(name));
    let marks = hide(dict).saturating_sub(values.iter().flatten().count());
    for (name, value) in OF_ARCHIVES.into_iter().zip(values) {
        if let Some(value) = value
            && dict.set_bytes(name, &value).is_err()
        {
            return Taken::Forbidden;
        }
    }
    for (from, to) in STANDS_FOR {
        let Some(value) = dict.bytes(from) else {
            continue;
        };
        // Nobody may write `KEPT`: only we do.
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

/// Removes marks from attributes to be shown. Returns how many there were.
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
        let ours = [xattr::LAST, xattr::KEPT, xattr::ARCHIVED];
        let marks = xattr::COMMIT.into_iter().chain(ours);
        for mark in marks {
            assert!(is_mark(mark), "{mark:?}");
        }
        for other in [
            xattr::UPLOAD_COMPLETE,
            c"trusted.glusterfs.c",
            c"user.cloudsync.kept",
            xattr::ARCHIVE_UUID,
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
