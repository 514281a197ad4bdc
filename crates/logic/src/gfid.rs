// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A file's identity in the volume.

#![forbid(unsafe_code)]

use std::fmt;

/// A file's identity in the volume.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gfid(pub [u8; 16]);

impl Gfid {
    /// The volume's root directory.
    pub const ROOT: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// Whether it is all zeros, which identifies no file.
    #[must_use]
    pub const fn is_none(self) -> bool {
        u128::from_ne_bytes(self.0) == 0
    }
}

impl fmt::Display for Gfid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Gfid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
