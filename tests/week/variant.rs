// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What differs between the weeks.

use std::fmt;

/// Which rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    /// The scanner may not read cold files, the backup reads them from the store, and nobody brings back many.
    pub(crate) callers: bool,
    /// Recalled files stay for a while.
    pub(crate) residency: bool,
}

impl Variant {
    pub(crate) fn all() -> Vec<Self> {
        let of = |callers, residency| Self { callers, residency };
        vec![
            of(false, false),
            of(false, true),
            of(true, false),
            of(true, true),
        ]
    }

    /// The volume's settings of recalls.
    pub(crate) const fn product_id(self) -> &'static str {
        match self.callers {
            true => {
                "callers=refuse:command:clamscan+remote:command:rsync,guard-files=40,guard-window=60s"
            }
            false => "guard-files=0",
        }
    }

    /// A short name, for the volume.
    pub(crate) const fn name(self) -> &'static str {
        match (self.callers, self.residency) {
            (false, false) => "neither",
            (false, true) => "residency",
            (true, false) => "callers",
            (true, true) => "both",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.callers, self.residency) {
            (false, false) => "neither",
            (false, true) => "residency",
            (true, false) => "callers and guard",
            (true, true) => "both",
        })
    }
}
