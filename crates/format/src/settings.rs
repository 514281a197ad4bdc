// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Parses `key=value,key=value`, by which one volume option carries several settings.
//!
//! glusterd accepts only the option names compiled into it, and its command line collapses blanks in values, so
//! settings without an option of their own are passed in such a list. Unknown keys, bad values and duplicate keys are
//! refused, so that no setting is silently ignored.

use std::collections::BTreeMap;
use std::time::Duration;

/// Why a list was refused. The text is for the administrator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An item without `=`.
    #[error("'{0}' is not of the form key=value")]
    NoValue(String),
    /// A duplicate key.
    #[error("'{0}' is given twice")]
    Twice(String),
    /// An unknown key.
    #[error("unknown setting '{key}' (known: {known})")]
    Unknown {
        /// The key that was given.
        key: String,
        /// The keys that exist, separated by commas.
        known: String,
    },
    /// A value that does not parse.
    #[error("'{key}={value}': expected {expected}")]
    Value {
        /// The key.
        key: String,
        /// The value that was given.
        value: String,
        /// The expected syntax, in words.
        expected: &'static str,
    },
}

/// A parsed list. Take each known key, then call [`finish`](Self::finish), which refuses the rest.
#[derive(Debug)]
pub struct Settings {
    left: BTreeMap<String, String>,
    known: Vec<&'static str>,
    /// Keys that somebody else takes from the same option.
    elsewhere: Vec<&'static str>,
}

impl Settings {
    /// Parses `text`. Blanks around items are ignored; an empty text is an empty list.
    ///
    /// # Errors
    /// [`Error::NoValue`] and [`Error::Twice`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut left = BTreeMap::new();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let (key, value) = item
                .split_once('=')
                .ok_or_else(|| Error::NoValue(item.to_owned()))?;
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            if left.insert(key.clone(), value).is_some() {
                return Err(Error::Twice(key));
            }
        }
        Ok(Self {
            left,
            known: Vec::new(),
            elsewhere: Vec::new(),
        })
    }

    /// The same list, of which an error says that these keys are known, too, although others take them.
    #[must_use]
    pub fn with_known(mut self, keys: &[&'static str]) -> Self {
        self.elsewhere.extend(keys);
        self
    }

    /// Whether the value of `key` is `auto`. Such a key is taken; any other value is left for a method that parses it.
    pub fn auto(&mut self, key: &'static str) -> bool {
        let auto = self.left.get(key).is_some_and(|value| value == "auto");
        if auto {
            self.left.remove(key);
            self.known.push(key);
        }
        auto
    }

    /// The text of `key`, if it is in the list.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        self.known.push(key);
        self.left.remove(key)
    }

    fn typed<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        self.text(key)
            .map(|value| {
                parse(&value).ok_or_else(|| Error::Value {
                    key: key.to_owned(),
                    value,
                    expected,
                })
            })
            .transpose()
    }

    /// A whole number from `least` to `most`; the error names `expected`.
    ///
    /// # Errors
    /// [`Error::Value`].
    pub fn number(
        &mut self,
        key: &'static str,
        least: u64,
        most: u64,
        expected: &'static str,
    ) -> Result<Option<u64>, Error> {
        self.typed(key, expected, |value| {
            value
                .parse()
                .ok()
                .filter(|number| (least..=most).contains(number))
        })
    }

    /// A number of bytes: `8M`, `64MiB`, `1048576`. Units are powers of 1024.
    ///
    /// # Errors
    /// [`Error::Value`].
    pub fn bytes(&mut self, key: &'static str) -> Result<Option<u64>, Error> {
        self.typed(key, "a number of bytes, such as 8M or 1048576", parse_bytes)
    }

    /// A duration: `500ms`, `10s`, `5m`, `2h`, `30d`.
    ///
    /// # Errors
    /// [`Error::Value`].
    pub fn duration(&mut self, key: &'static str) -> Result<Option<Duration>, Error> {
        self.typed(key, "a duration, such as 500ms, 10s or 5m", parse_duration)
    }

    /// `on`/`off`, `yes`/`no`, `true`/`false`, `1`/`0`.
    ///
    /// # Errors
    /// [`Error::Value`].
    pub fn switch(&mut self, key: &'static str) -> Result<Option<bool>, Error> {
        self.typed(key, "on or off", |value| match value {
            "on" | "yes" | "true" | "1" => Some(true),
            "off" | "no" | "false" | "0" => Some(false),
            _ => None,
        })
    }

    /// One of `choices`; the error names `expected`.
    ///
    /// # Errors
    /// [`Error::Value`].
    pub fn choice(
        &mut self,
        key: &'static str,
        choices: &[&'static str],
        expected: &'static str,
    ) -> Result<Option<&'static str>, Error> {
        self.typed(key, expected, |value| {
            choices.iter().copied().find(|choice| *choice == value)
        })
    }

    /// Refuses keys that were not taken.
    ///
    /// # Errors
    /// [`Error::Unknown`], with the first such key and all known ones.
    pub fn finish(self) -> Result<(), Error> {
        match self.left.into_keys().next() {
            None => Ok(()),
            Some(key) => Err(Error::Unknown {
                key,
                known: [self.known, self.elsewhere].concat().join(", "),
            }),
        }
    }
}

/// Parses a number of bytes: `8M`, `64MiB`, `1048576`. Units are powers of 1024.
#[must_use]
pub fn parse_bytes(value: &str) -> Option<u64> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &value[digits.len()..] {
        "" | "B" => 0,
        "K" | "KB" | "KiB" | "k" => 10,
        "M" | "MB" | "MiB" | "m" => 20,
        "G" | "GB" | "GiB" | "g" => 30,
        "T" | "TB" | "TiB" | "t" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << unit)
}

/// Parses a duration: `500ms`, `10s`, `5m`, `2h`, `30d`.
#[must_use]
pub fn parse_duration(value: &str) -> Option<Duration> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    match &value[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        "d" => number.checked_mul(86400).map(Duration::from_secs),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_its_values_and_refuses_what_is_left() {
        let mut list = Settings::parse("region=eu-west-1, part=8M,retries=4,wait=500ms").unwrap();
        assert_eq!(list.text("region").as_deref(), Some("eu-west-1"));
        assert_eq!(list.bytes("part"), Ok(Some(8 << 20)));
        assert_eq!(list.duration("wait"), Ok(Some(Duration::from_millis(500))));
        assert_eq!(list.switch("path-style"), Ok(None));
        assert_eq!(
            list.finish().unwrap_err().to_string(),
            "unknown setting 'retries' (known: region, part, wait, path-style)"
        );
    }

    #[test]
    fn bad_lists_are_refused_by_name() {
        assert_eq!(
            Settings::parse("region").unwrap_err().to_string(),
            "'region' is not of the form key=value"
        );
        assert_eq!(
            Settings::parse("a=1,a=2").unwrap_err().to_string(),
            "'a' is given twice"
        );
        let mut list = Settings::parse("part=8Q,n=70000,wait=5,style=maybe").unwrap();
        assert!(
            list.bytes("part")
                .unwrap_err()
                .to_string()
                .starts_with("'part=8Q': expected a number of bytes")
        );
        assert!(list.number("n", 1, 65535, "a port").is_err());
        assert!(list.duration("wait").is_err());
        assert!(list.switch("style").is_err());
    }

    #[test]
    fn sizes_and_times_do_not_overflow() {
        assert_eq!(parse_bytes("18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_bytes("18446744073709551615K"), None);
        assert_eq!(parse_duration("18446744073709551615d"), None);
        assert_eq!(parse_bytes(""), None);
        assert_eq!(parse_bytes("M"), None);
    }

    const CORPUS: &[&str] = &[
        "",
        "region=eu-west-1,part=8M,retries=4,wait=500ms",
        "part=18446744073709551615K,wait=18446744073709551615d",
        " style = on , ,part= 64MiB,",
        "part=0,retries=0,wait=0s,style=1",
        "a=b=c,part==8M",
        "wait=5h,part=1TB,style=false,choice=two",
    ];

    /// Every item is taken, refused by name, or left over.
    #[test]
    fn fuzz() {
        cloudsync_fuzz::fuzz(CORPUS, |text| {
            let mut list = match Settings::parse(text) {
                Ok(list) => list,
                Err(error) => return assert!(!error.to_string().is_empty()),
            };
            let given = list.left.len();
            let mut wrong = 0;
            let mut taken = 0;
            let mut count = |found: Result<bool, Error>| match found {
                Ok(found) => taken += usize::from(found),
                Err(Error::Value { key, value, .. }) => {
                    assert!(text.contains(&key) && text.contains(&value));
                    wrong += 1;
                }
                Err(other) => panic!("{other}"),
            };
            count(Ok(list.text("region").is_some()));
            count(list.bytes("part").map(|value| value.is_some()));
            count(list.duration("wait").map(|value| value.is_some()));
            count(list.switch("style").map(|value| value.is_some()));
            let number = list.number("retries", 0, 9, "0 to 9");
            assert!(number.as_ref().is_ok_and(|n| n.is_none_or(|n| n <= 9)) || number.is_err());
            count(number.map(|value| value.is_some()));
            let choice = list.choice("choice", &["one", "two"], "one or two");
            count(choice.map(|value| value.is_some()));
            assert_eq!(taken + wrong + list.left.len(), given);
            assert_eq!(list.left.is_empty(), list.finish().is_ok());
        });
    }
}
