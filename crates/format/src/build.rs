// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The text by which a library tells what it is: `what(1)` finds it in the file, and `cloudsync check` compares it.
//!
//! `@(#)cloudsync KIND VERSION for GlusterFS MAJOR` and a line feed; KIND is `translator` or `plugin`.

/// How the text begins in the file.
pub const MARK: &str = "@(#)cloudsync ";

/// The text of a library of this kind, for a `static`. The crate's build script sets CLOUDSYNC_HOST_MAJOR.
#[macro_export]
macro_rules! build_text {
    ($kind:literal) => {
        concat!(
            "@(#)cloudsync ",
            $kind,
            " ",
            env!("CARGO_PKG_VERSION"),
            " for GlusterFS ",
            env!("CLOUDSYNC_HOST_MAJOR"),
            "\n"
        )
    };
}

/// The text as people read it, for the log.
#[must_use]
pub fn shown(text: &str) -> &str {
    text.trim_start_matches("@(#)").trim_end()
}

/// What a library says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// `translator` or `plugin`.
    pub kind: String,
    /// The version of cloudsync.
    pub version: String,
    /// The major version of GlusterFS that it was built for.
    pub host: String,
}

impl Build {
    /// Finds the text in a library; `None` if it is not one of ours, or older than the text.
    #[must_use]
    pub fn find(library: &[u8]) -> Option<Self> {
        let mark = MARK.as_bytes();
        let places = library
            .windows(mark.len())
            .enumerate()
            .filter(|(_, part)| *part == mark);
        places
            .filter_map(|(at, _)| {
                let text = library.get(at + mark.len()..)?;
                let end = text.iter().position(|byte| *byte == b'\n')?;
                Self::parse(std::str::from_utf8(text.get(..end)?).ok()?)
            })
            .next()
    }

    fn parse(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split(' ').collect();
        let [
            kind @ ("translator" | "plugin"),
            version,
            "for",
            "GlusterFS",
            host,
        ] = words[..]
        else {
            return None;
        };
        Some(Self {
            kind: kind.to_owned(),
            version: version.to_owned(),
            host: host.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_found_among_other_bytes() {
        let mut file = b"\x7fELF @(#)cloudsync \0\xff@(#)cloudsync elsewhere\n".to_vec();
        assert_eq!(Build::find(&file), None);
        file.extend_from_slice(b"x@(#)cloudsync plugin 1.2.3 for GlusterFS 11\nneeds exactly");
        let found = Build::find(&file).map(|build| (build.kind, build.version, build.host));
        let expected = ("plugin".to_owned(), "1.2.3".to_owned(), "11".to_owned());
        assert_eq!(found, Some(expected));
    }
}
