// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The settings `compress=`, `encrypt=` and `identity=` of the volume's option `cloudsync-store-id`.

use std::path::{Path, PathBuf};

use cloudsync_store::settings::Settings as List;
use cloudsync_store::{Options, StoreError, option};

const OPTION: &str = option::text(option::STORE_ID);
const COMPRESS: &str = "compress";
const ENCRYPT: &str = "encrypt";
const IDENTITY: &str = "identity";

/// The level of `compress=zstd` without one: that of the program.
const LEVEL: i32 = 3;
const HIGHEST: i32 = 19;

/// How objects are written, and what they are read with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `compress=zstd[:LEVEL]`: the level.
    pub(crate) compress: Option<i32>,
    /// `encrypt=age:FILE`: the recipients, one in a line.
    pub(crate) encrypt: Option<PathBuf>,
    /// `identity=file:FILE`: the identities, one in a line.
    pub(crate) identity: Option<PathBuf>,
}

impl Settings {
    /// Takes these settings out of the volume's options; the rest is the inner store's. The files are not opened: only the
    /// archiver needs the recipients, and only who reads needs an identity.
    pub(crate) fn take(options: &Options) -> Result<(Self, Options), StoreError> {
        let (rest, list) = options.split(OPTION, &[COMPRESS, ENCRYPT, IDENTITY])?;
        let settings = Self::of(list)
            .map_err(|why| StoreError::Settings(format!("option {OPTION}: {why}")))?;
        Ok((settings, rest))
    }

    fn of(mut list: List) -> Result<Self, String> {
        let compress = list.text(COMPRESS).map(|text| {
            level(&text).ok_or_else(|| {
                format!("'{COMPRESS}={text}': expected zstd or zstd:LEVEL, where LEVEL is 1 to {HIGHEST}")
            })
        });
        let mut file = |key, before| {
            list.text(key).map(|text| {
                // The text is not shown: somebody may have put a secret there.
                path(&text, before).ok_or_else(|| {
                    format!("'{key}=': expected {before}FILE, where FILE begins with /")
                })
            })
        };
        Ok(Self {
            encrypt: file(ENCRYPT, "age:").transpose()?,
            identity: file(IDENTITY, "file:").transpose()?,
            compress: compress.transpose()?,
        })
    }
}

fn level(text: &str) -> Option<i32> {
    match text.strip_prefix("zstd")? {
        "" => Some(LEVEL),
        rest => {
            let level = rest.strip_prefix(':')?.parse().ok()?;
            (1..=HIGHEST).contains(&level).then_some(level)
        }
    }
}

fn path(text: &str, before: &str) -> Option<PathBuf> {
    let path = Path::new(text.strip_prefix(before)?);
    path.is_absolute().then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(list: &str) -> Result<(Settings, String), String> {
        let options: Options = [(OPTION, list)].into_iter().collect();
        let (settings, rest) = Settings::take(&options).map_err(|error| error.to_string())?;
        Ok((settings, rest.text(OPTION).unwrap_or_default().to_owned()))
    }

    #[test]
    fn they_are_taken_and_the_rest_is_left() {
        let list =
            "path=/srv, compress=zstd:9,encrypt=age:/etc/r,identity=file:/etc/i,mounted=/srv";
        let (settings, rest) = take(list).unwrap();
        assert_eq!(rest, "path=/srv,mounted=/srv");
        assert_eq!(settings.compress, Some(9));
        assert_eq!(settings.encrypt, Some("/etc/r".into()));
        assert_eq!(settings.identity, Some("/etc/i".into()));
        let (settings, rest) = take("path=/srv").unwrap();
        assert_eq!(
            (settings, rest.as_str()),
            (Settings::default(), "path=/srv")
        );
        assert_eq!(take("compress=zstd").unwrap().0.compress, Some(LEVEL));
    }

    #[test]
    fn wrong_ones_are_refused_by_name() {
        for (list, word) in [
            ("compress=gzip", "'compress=gzip': expected zstd"),
            ("compress=zstd:20", "1 to 19"),
            ("compress=zstd:", "1 to 19"),
            ("encrypt=/etc/r", "expected age:FILE"),
            ("encrypt=age:r", "begins with /"),
            ("identity=AGE-SECRET-KEY-1", "expected file:FILE"),
            ("compress=zstd,compress=zstd", "'compress' is given twice"),
        ] {
            let error = take(list).unwrap_err();
            assert!(error.contains(word), "{list}: {error}");
            assert!(!error.contains("SECRET"), "{error}");
        }
    }
}
