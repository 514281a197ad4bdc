// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The volume's options as a plugin gets them, and secrets that appear in no text.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fmt, fs};

use crate::StoreError;
use crate::settings::{self, Settings};

/// The volume's options by name, without the prefix `features.` of `gluster volume set`. `Debug` shows no values,
/// because only the plugin knows which are secret.
#[derive(Clone, Default)]
pub struct Options {
    values: BTreeMap<String, String>,
    /// Settings that [`split`](Self::split) has taken: known, though not to the store.
    taken: Vec<&'static str>,
}

impl Options {
    /// The option's value, trimmed; `None` if it is empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// Parses the option's value as a list `key=value,key=value`, which is how one option carries many settings. `take`
    /// removes the settings that it knows; any that remain are refused, as are values that do not parse.
    ///
    /// # Errors
    /// [`StoreError::Settings`], which names the option, the key and the expected value.
    pub fn settings<T>(
        &self,
        name: &str,
        take: impl FnOnce(&mut Settings) -> Result<T, settings::Error>,
    ) -> Result<T, StoreError> {
        let taken = || {
            let mut list = self.list(name)?;
            let taken = take(&mut list)?;
            list.finish()?;
            Ok(taken)
        };
        taken().map_err(|error: settings::Error| {
            StoreError::Settings(format!("option {name}: {error}"))
        })
    }

    /// The option's value as such a list, of which everything must be taken.
    ///
    /// # Errors
    /// That of [`Settings::parse`].
    pub fn list(&self, name: &str) -> Result<Settings, settings::Error> {
        let list = Settings::parse(self.text(name).unwrap_or_default())?;
        Ok(list.with_known(&self.taken))
    }

    /// Divides the list that the option has: into these settings, and the options without them, for a store around
    /// another.
    ///
    /// # Errors
    /// [`StoreError::Settings`] if one of them is given twice.
    pub fn split(&self, name: &str, keys: &[&'static str]) -> Result<(Self, Settings), StoreError> {
        let text = self.text(name).unwrap_or_default();
        let ours = |item: &&str| {
            let key = item.split_once('=').map(|(key, _)| key.trim());
            key.is_some_and(|key| keys.contains(&key))
        };
        let items = text.split(',').map(str::trim);
        let (ours, others): (Vec<_>, Vec<_>) = items.partition(ours);
        let list = Settings::parse(&ours.join(","))
            .map_err(|error| StoreError::Settings(format!("option {name}: {error}")))?;
        let mut rest = self.clone();
        rest.taken.extend(keys);
        if let Some(value) = rest.values.get_mut(name) {
            *value = others.join(",");
        }
        Ok((rest, list))
    }

    /// The option's value, or the secret that it refers to: `file:/path` the first line of a file, `env:NAME` an
    /// environment variable of the process. `gluster volume info` shows options to every user, but a file has
    /// permissions.
    ///
    /// # Errors
    /// [`StoreError::Settings`] if the file or variable cannot be read, or is empty.
    pub fn secret(&self, name: &str) -> Result<Option<Secret>, StoreError> {
        let read = self.source(name).map(|source| source.read()).transpose();
        read.map_err(|why| StoreError::Settings(format!("option {name}: {why}")))
    }

    /// Where the option's secret is, to be read now and again.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<SecretSource> {
        self.text(name).map(SecretSource::parse)
    }
}

/// Where a secret is: in the text itself, in a file, or in the environment.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The secret itself.
    Text(Secret),
    /// `file:/path`: the first line of a file, which may change.
    File(PathBuf),
    /// `env:NAME`: an environment variable of the process.
    Variable(String),
}

impl SecretSource {
    /// Understands `file:/path` and `env:NAME`; any other text is the secret.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if let Some(path) = text.strip_prefix("file:") {
            Self::File(path.into())
        } else if let Some(variable) = text.strip_prefix("env:") {
            Self::Variable(variable.to_owned())
        } else {
            Self::Text(Secret(text.to_owned()))
        }
    }

    /// Reads the secret, as it is now.
    ///
    /// # Errors
    /// A text that says what cannot be read, or is empty.
    pub fn read(&self) -> Result<Secret, String> {
        let secret = match self {
            Self::Text(secret) => return Ok(secret.clone()),
            Self::File(path) => {
                let text = fs::read_to_string(path)
                    .map_err(|error| format!("cannot read the file {}: {error}", path.display()))?;
                text.lines().next().unwrap_or_default().trim().to_owned()
            }
            Self::Variable(name) => {
                env::var(name).map_err(|_| format!("the environment has no variable {name}"))?
            }
        };
        if secret.is_empty() {
            return Err("the file or variable that it names is empty".to_owned());
        }
        Ok(Secret(secret))
    }

    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Text(_) | Self::Variable(_) => None,
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("***"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Variable(name) => write!(f, "env:{name}"),
        }
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Options {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter();
        Self {
            values: pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            taken: Vec::new(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// A text that no log, error or dump shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_the_option_a_file_or_the_environment() {
        let path = env::temp_dir().join(format!("cloudsync-secret-{}", std::process::id()));
        fs::write(&path, "from-file\nsecond line\n").unwrap();
        let options: Options = [
            ("plain", "as-it-is".to_owned()),
            ("file", format!("file:{}", path.display())),
            ("variable", "env:PATH".to_owned()),
            ("blank", "  ".to_owned()),
            ("no-file", "file:/nowhere/at/all".to_owned()),
            ("no-variable", "env:CLOUDSYNC_NO_SUCH_VARIABLE".to_owned()),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            options.secret("plain").unwrap().unwrap().expose(),
            "as-it-is"
        );
        assert_eq!(
            options.secret("file").unwrap().unwrap().expose(),
            "from-file"
        );
        assert_eq!(
            options.secret("variable").unwrap().unwrap().expose(),
            env::var("PATH").unwrap()
        );
        assert_eq!(options.secret("blank"), Ok(None));
        assert_eq!(options.secret("absent"), Ok(None));
        for name in ["no-file", "no-variable"] {
            let error = options.secret(name).unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("option {name}: ")),
                "{error}"
            );
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_list_is_taken_apart_and_what_is_wrong_is_named() {
        let options: Options = [("store-id", "path=/srv,n=5")].into_iter().collect();
        let both = options.settings("store-id", |list| {
            Ok((list.text("path"), list.number("n", 1, 9, "a digit")?))
        });
        assert_eq!(both, Ok((Some("/srv".to_owned()), Some(5))));
        let path_only = options.settings("store-id", |list| Ok(list.text("path")));
        assert_eq!(
            path_only.unwrap_err().to_string(),
            "option store-id: unknown setting 'n' (known: path)"
        );
        assert_eq!(
            options.settings("absent", |list| Ok(list.text("path"))),
            Ok(None)
        );
    }

    #[test]
    fn a_list_is_divided_and_both_parts_are_known() {
        let options: Options = [("store-id", "path=/srv, compress=zstd,n=5")]
            .into_iter()
            .collect();
        let (rest, mut ours) = options.split("store-id", &["compress"]).unwrap();
        assert_eq!(ours.text("compress").as_deref(), Some("zstd"));
        assert_eq!(rest.text("store-id"), Some("path=/srv,n=5"));
        let path = rest.settings("store-id", |list| Ok(list.text("path")));
        assert_eq!(
            path.unwrap_err().to_string(),
            "option store-id: unknown setting 'n' (known: path, compress)"
        );
        let (rest, _) = Options::default().split("store-id", &["compress"]).unwrap();
        assert_eq!(rest.text("store-id"), None);
    }

    #[test]
    fn no_text_shows_a_secret() {
        let options: Options = [("s3plugin-seckey", "hunter2")].into_iter().collect();
        let secret = options.secret("s3plugin-seckey").unwrap().unwrap();
        assert_eq!(
            format!("{secret} {secret:?} {options:?}"),
            "*** *** {\"s3plugin-seckey\"}"
        );
        let sources = ["hunter2", "file:/key", "env:KEY"].map(SecretSource::parse);
        assert_eq!(format!("{sources:?}"), "[***, file:/key, env:KEY]");
    }
}
