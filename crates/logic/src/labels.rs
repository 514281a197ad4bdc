// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Which reads need not ask whether their file is cold: those of a file whose *label* the client trusts.
//!
//! The label is the file's size and times. A brick reads, and then looks at them, so the answer to every read has it. A
//! recall changes it for good before the file has its size again but not yet its bytes ([`crate::protocol::recall`]). So
//! the client reads without asking, and compares. If the label is another one, the answer is discarded, and the read asks.
//!
//! Two looks are needed before a label is trusted, the second one sent after the first was answered: see
//! docs/design/local-reads.md, which also has the proof.
//!
//! A stub has a label, too, and keeps it until the file is changed. So reads that leave a file cold need not ask either.

#![forbid(unsafe_code)]

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use crate::status::Attributes;

/// The low bits of a number: how many looks are missing.
const MISSING: u64 = 0xff;

/// The looks that a label needs after one was trusted in vain. A file that others change is then read twice at most once
/// in so many reads.
const AFTER_A_MISS: u64 = 16;

/// A file's label, as a number in which the low bits are 0, and others are not.
///
/// It is a hash with a key that only this process has. Two labels of a file have the same one with a probability of
/// 2^-56, which matters only if the file is half recalled at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(u64);

impl Label {
    /// The label of a file with these attributes; `None` if it is empty, because a stub could have the same. `era`: labels of
    /// different eras are different.
    #[must_use]
    pub fn of(attributes: &impl Attributes, era: u64) -> Option<Self> {
        (attributes.size() > 0).then(|| Self::with_size(attributes.size(), attributes, era))
    }

    /// The label of a stub without bytes that has these times. An empty file may have it, too.
    #[must_use]
    pub fn of_stub(attributes: &impl Attributes, era: u64) -> Self {
        Self::with_size(0, attributes, era)
    }

    fn with_size(size: u64, attributes: &impl Attributes, era: u64) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let times = [attributes.atime(), attributes.mtime(), attributes.ctime()];
        let times = times.map(|time| (time.seconds, time.nanos));
        let hash = KEY.hash_one((size, times, era)) & !MISSING;
        Self(if hash == 0 { MISSING + 1 } else { hash })
    }
}

/// What a client remembers of a file: its label, and how many more looks it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looks(u64);

impl Looks {
    /// As [`Self::number`] returned it; 0: nothing.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// A number to remember it by.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Whether a read need not ask. Its answer must have the label: [`Self::has`].
    #[must_use]
    pub const fn suffice(self) -> bool {
        self.0 != 0 && self.0 & MISSING == 0
    }

    /// Whether this is the label that is remembered.
    #[must_use]
    pub const fn has(self, label: Label) -> bool {
        self.0 & !MISSING == label.0
    }

    /// What to remember after one more look: a question that was sent when this was remembered, found the file local (or the
    /// stub of the same object), and has this label in its answer.
    #[must_use]
    pub const fn and(self, label: Label) -> Self {
        let missing = self.0 & MISSING;
        let missing = match (self.has(label), missing) {
            (true, missing) => missing.saturating_sub(1),
            (false, 0) => 1,
            (false, missing) => missing,
        };
        Self(label.0 | missing)
    }

    /// What to remember after a read that did not ask, if it should have.
    #[must_use]
    pub const fn in_vain(self) -> Self {
        Self(self.0 & !MISSING | AFTER_A_MISS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Label = Label(1 << 8);
    const OTHER: Label = Label(2 << 8);

    fn after(looks: &[Label]) -> Looks {
        looks
            .iter()
            .fold(Looks::default(), |looks, label| looks.and(*label))
    }

    #[test]
    fn a_label_needs_two_looks_in_a_row() {
        assert!(!after(&[]).suffice());
        assert!(!after(&[ONE]).suffice());
        assert!(!after(&[ONE, OTHER]).suffice());
        assert!(!after(&[ONE, OTHER, ONE]).suffice());
        let looks = after(&[ONE, OTHER, OTHER]);
        assert!(looks.suffice() && looks.has(OTHER) && !looks.has(ONE));
        assert!(looks.and(OTHER).suffice());
        assert!(!looks.and(ONE).suffice());
    }

    #[test]
    fn after_a_read_in_vain_more_are_needed_however_the_label_changes() {
        let mut looks = after(&[ONE, ONE]).in_vain();
        let mut needed = 0;
        while !looks.suffice() {
            looks = looks.and(if needed < 5 { OTHER } else { ONE });
            needed += 1;
        }
        // Those of OTHER and ONE that are not the first of theirs.
        assert_eq!(needed, AFTER_A_MISS + 2);
    }

    #[test]
    fn a_number_is_what_it_was() {
        for looks in [Looks::default(), after(&[ONE]), after(&[ONE, ONE])] {
            assert_eq!(Looks::from_number(looks.number()), looks);
        }
    }
}
