// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Pins: what users and administrators want for a file, or for everything below a folder, whatever the archiver's rules say.
//! An extended attribute holds one; the nearest counts, from the file upwards.

use std::ffi::CStr;

/// Set by the file's owner, or whoever may write to it (extended attributes of users, attr(5)).
pub const OF_OWNERS: &CStr = c"user.cloudsync.policy";
/// Set by root; on the same file or folder it takes precedence. Unlike marks, it may be listed and copied.
pub const OF_ROOT: &CStr = c"trusted.cloudsync-policy";

/// A pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// It stays local.
    NeverArchive,
    /// It is archived whatever its age.
    ArchiveSoon,
    /// Reads leave it cold.
    NeverRecall,
}

/// All pins.
pub const ALL: [Pin; 3] = [Pin::NeverArchive, Pin::ArchiveSoon, Pin::NeverRecall];

impl Pin {
    /// The attribute's value.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::NeverArchive => "never-archive",
            Self::ArchiveSoon => "archive-soon",
            Self::NeverRecall => "never-recall",
        }
    }

    /// Parses an attribute's value; `None` if it is not a pin.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        // Programs may include the terminating NUL, and scripts a line's end.
        let text = std::str::from_utf8(value).ok()?;
        let text = text.trim_end_matches(['\0', '\n']);
        ALL.into_iter().find(|pin| pin.text() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_words() {
        for pin in ALL {
            assert_eq!(Pin::parse(pin.text().as_bytes()), Some(pin));
        }
        assert_eq!(Pin::parse(b"never-archive\n"), Some(Pin::NeverArchive));
        assert_eq!(Pin::parse(b"archive-soon\0"), Some(Pin::ArchiveSoon));
        for other in [&b""[..], b"never", b"Never-Archive", b"\xff"] {
            assert_eq!(Pin::parse(other), None);
        }
    }
}
