// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Several stores of one volume.
//!
//! The volume's options describe its own store, [`OWN`]. Further ones have names, and are described in the list of the
//! option `cloudsync-store-id`, among the settings of the own store: `NAME.storetype=`, `NAME.hostname=`,
//! `NAME.bucketid=`, `NAME.keyid=` and `NAME.seckey=` are what the volume's options of these names are for its own store,
//! and any other `NAME.KEY=VALUE` is a setting of the list that the store named NAME gets. A file's record
//! ([`crate::record`]) says which of them has its object.

use std::collections::BTreeMap;
use std::ffi::CStr;

use crate::option;

/// What the volume's own store is called. Records do not name it.
pub const OWN: &str = "default";

/// The longest name of a store.
const LONGEST: usize = 32;

/// Settings of a named store that are options for the volume's own store.
const OPTIONS: [(&str, &CStr); 5] = [
    ("storetype", option::STORETYPE),
    ("hostname", option::HOSTNAME),
    ("bucketid", option::BUCKET_ID),
    ("keyid", option::KEY_ID),
    ("seckey", option::SECRET_KEY),
];

/// Whether a text can be the name of a further store.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(fits) && text != OWN
}

/// The name of a store for people: that of the volume's own, too.
#[must_use]
pub fn shown(name: Option<&str>) -> &str {
    name.unwrap_or(OWN)
}

/// A store as [`shown`]; `None`: the volume's own.
///
/// # Errors
/// It is no store's name. The text says what is.
pub fn parse(text: &str) -> Result<Option<String>, &'static str> {
    match text {
        OWN => Ok(None),
        name if is_name(name) => Ok(Some(name.to_owned())),
        _ => Err("expected the name of a store: 'default', or letters, digits and '-'"),
    }
}

/// The archiver's note of an object ([`crate::xattr::LAST`]): its key, with its store's name and a colon before it unless
/// that is the volume's own.
#[must_use]
pub fn note(store: Option<&str>, key: &str) -> String {
    store.map_or_else(|| key.to_owned(), |store| format!("{store}:{key}"))
}

/// The store and the key of a [`note`].
#[must_use]
pub fn of_note(note: &str) -> (Option<&str>, &str) {
    match note.split_once(':') {
        Some((store, key)) if is_name(store) => (Some(store), key),
        _ => (None, note),
    }
}

/// The settings of a named store, as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named(Vec<(String, String)>);

/// Divides the list of `cloudsync-store-id` into the list of the volume's own store and the settings of the named ones.
/// What is not understood stays in the former, so that its store refuses it.
#[must_use]
pub fn divide(list: &str) -> (String, BTreeMap<String, Named>) {
    let mut own = Vec::new();
    let mut named: BTreeMap<String, Named> = BTreeMap::new();
    let mut last: Option<String> = None;
    for item in list.split(',').map(str::trim) {
        // The rest of a value, which may be a secret that nobody should have put here, and that an error would show.
        if let Some(named) = last.as_ref().and_then(|name| named.get_mut(name))
            && !item.is_empty()
            && !item.contains('=')
            && let Some((_, value)) = named.0.last_mut()
        {
            *value += ",";
            *value += item;
            continue;
        }
        let setting = item.split_once('=').and_then(|(key, value)| {
            let (name, key) = key.trim().split_once('.')?;
            is_name(name).then_some((name, key, value.trim()))
        });
        match setting {
            Some((name, key, value)) => {
                last = Some(name.to_owned());
                let Named(settings) = named.entry(name.to_owned()).or_default();
                settings.push((key.to_owned(), value.to_owned()));
            }
            None => {
                last = None;
                own.push(item);
            }
        }
    }
    (own.join(","), named)
}

impl Named {
    /// The settings as values of the volume's options. `name`: the store's, for errors.
    ///
    /// # Errors
    /// What is wrong, for the administrator.
    pub fn options(&self, name: &str) -> Result<Vec<(&'static CStr, String)>, String> {
        let mut options: Vec<(&CStr, String)> = Vec::new();
        let mut list = Vec::new();
        for (key, value) in &self.0 {
            let Some((_, option)) = OPTIONS.iter().find(|(known, _)| known == key) else {
                list.push(format!("{key}={value}"));
                continue;
            };
            if options.iter().any(|(known, _)| known == option) {
                return Err(format!("'{name}.{key}' is given twice"));
            }
            let elsewhere = value.starts_with("file:") || value.starts_with("env:");
            if *option == option::SECRET_KEY && !elsewhere {
                return Err(format!(
                    "'{name}.{key}': expected file:/PATH or env:NAME, because every user can read the option"
                ));
            }
            options.push((option, value.clone()));
        }
        if !options.iter().any(|(key, _)| *key == option::STORETYPE) {
            return Err(format!("'{name}.storetype' is missing"));
        }
        options.push((option::STORE_ID, list.join(",")));
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_divided_by_the_names_in_it() {
        let (own, named) = divide(
            "region=eu, cold.storetype=amazons3 ,timeout=9s,cold.bucketid=b/p,cold.seckey=file:/k,\
             cold.region=us,cold.part=8M, law.storetype = directory,law.path=/srv,Bad.x=1,default.y=2,",
        );
        assert_eq!(own, "region=eu,timeout=9s,Bad.x=1,default.y=2,");
        assert_eq!(named.keys().collect::<Vec<_>>(), ["cold", "law"]);
        let text = |name: &str| {
            let options = named[name].options(name).unwrap();
            let pairs = options.iter();
            let pairs = pairs.map(|(key, value)| format!("{}={value}", key.to_string_lossy()));
            pairs.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            text("cold"),
            "cloudsync-storetype=amazons3 s3plugin-bucketid=b/p s3plugin-seckey=file:/k \
             cloudsync-store-id=region=us,part=8M"
        );
        assert_eq!(
            text("law"),
            "cloudsync-storetype=directory cloudsync-store-id=path=/srv"
        );
    }

    #[test]
    fn what_is_wrong_with_a_named_store_is_said() {
        for (list, why) in [
            ("a.path=/srv", "'a.storetype' is missing"),
            (
                "a.storetype=x,a.storetype=y",
                "'a.storetype' is given twice",
            ),
            (
                "a.storetype=x,a.seckey=abc",
                "'a.seckey': expected file:/PATH or env:NAME, because every user can read the option",
            ),
            (
                "a.storetype=x,a.seckey=ab,abc",
                "'a.seckey': expected file:/PATH or env:NAME, because every user can read the option",
            ),
        ] {
            let (_, named) = divide(list);
            let error = named["a"].options("a").unwrap_err();
            assert_eq!(error, why);
            assert!(!error.contains("abc"));
        }
    }

    #[test]
    fn names_are_words_and_one_of_them_is_the_volume_s_own() {
        for bad in ["", "default", "A", "a.b", "a_b", &"x".repeat(33)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert_eq!(parse(shown(None)), Ok(None));
        assert_eq!(parse(shown(Some("cold-2"))), Ok(Some("cold-2".to_owned())));
        assert!(parse("Cold").is_err());
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        for store in [None, Some("cold")] {
            assert_eq!(of_note(&note(store, "a/b")), (store, "a/b"));
        }
        assert_eq!(of_note("Not a name:b"), (None, "Not a name:b"));
    }

    #[test]
    fn fuzz() {
        const CORPUS: &[&str] = &[
            "region=eu,cold.storetype=amazons3,cold.part=8M",
            "a.storetype=x,a.seckey=file:/k,b.=1,.c=2,a.b.c=d=e",
        ];
        cloudsync_fuzz::fuzz(CORPUS, |text| {
            let (own, named) = divide(text);
            assert_eq!(divide(&own), (own, BTreeMap::new()));
            for (name, settings) in named {
                assert!(is_name(&name) && !settings.0.is_empty());
                if let Err(why) = settings.options(&name) {
                    assert!(why.contains(&name));
                }
            }
        });
    }
}
