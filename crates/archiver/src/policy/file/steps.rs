// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Parses the tables of a policy file that are not rules: `[[restore]]`, `[[migrate]]`, `[[verify]]`,
//! `[[gc]]` and `[[catalog]]`.

use std::path::PathBuf;
use std::time::Duration;

use cloudsync_format::stores::OWN;
use serde::Deserialize;

use super::super::step::{Action, Step};
use super::{bytes, store, time};
use crate::cli::{CATALOGS, GRACE, Tier};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRestore {
    name: String,
    targets: Vec<PathBuf>,
    every: Option<String>,
    days: Option<u32>,
    tier: Option<Tier>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawVerify {
    name: String,
    targets: Vec<PathBuf>,
    every: Option<String>,
    #[serde(default)]
    deep: bool,
    bytes_per_second: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawGc {
    name: String,
    targets: Vec<PathBuf>,
    every: Option<String>,
    store: Option<String>,
    grace: Option<String>,
    #[serde(default)]
    delete: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawCatalog {
    name: String,
    targets: Vec<PathBuf>,
    every: Option<String>,
    keep: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawMigrate {
    name: String,
    targets: Vec<PathBuf>,
    every: Option<String>,
    from: Option<String>,
    to: Option<String>,
    archived_before: Option<String>,
    bytes_per_second: Option<String>,
}

impl RawRestore {
    pub(super) fn check(self) -> Result<Step, String> {
        let action = match self.days {
            Some(days) if !(1..=365).contains(&days) => Err("days: expected 1 to 365".to_owned()),
            days => Ok(Action::Restore {
                days,
                tier: self.tier,
            }),
        };
        step(self.name, self.targets, self.every.as_deref(), action)
    }
}

impl RawVerify {
    pub(super) fn check(self) -> Result<Step, String> {
        let rate = self.bytes_per_second.as_deref();
        let rate = rate.map(|text| bytes("bytes-per-second", text)).transpose();
        let action = rate.map(|rate| Action::Verify {
            deep: self.deep,
            rate,
        });
        step(self.name, self.targets, self.every.as_deref(), action)
    }
}

impl RawGc {
    pub(super) fn check(self) -> Result<Step, String> {
        let grace = self.grace.as_deref();
        let grace = grace.map_or(Ok(GRACE), |text| time("grace", text));
        let delete = self.delete;
        let action = grace.and_then(|grace| {
            Ok(Action::Gc {
                store: store(self.store)?,
                grace,
                delete,
            })
        });
        step(self.name, self.targets, self.every.as_deref(), action)
    }
}

impl RawMigrate {
    pub(super) fn check(self) -> Result<Step, String> {
        let action = || {
            let name = |name| Ok::<_, String>(store(name)?.unwrap_or_else(|| OWN.to_owned()));
            let (from, to) = (name(self.from)?, name(self.to)?);
            if from == to {
                return Err("from, to: expected two stores".to_owned());
            }
            let age = self.archived_before.as_deref();
            let rate = self.bytes_per_second.as_deref();
            Ok(Action::Migrate {
                from,
                to,
                archived_before: age.map(|text| time("archived-before", text)).transpose()?,
                rate: rate
                    .map(|text| bytes("bytes-per-second", text))
                    .transpose()?,
            })
        };
        let action = action();
        step(self.name, self.targets, self.every.as_deref(), action)
    }
}

impl RawCatalog {
    pub(super) fn check(self) -> Result<Step, String> {
        let action = match self.keep {
            Some(0) => Err("keep: expected at least 1".to_owned()),
            keep => Ok(Action::Catalog {
                keep: keep.unwrap_or(CATALOGS),
            }),
        };
        step(self.name, self.targets, self.every.as_deref(), action)
    }
}

fn step(
    name: String,
    targets: Vec<PathBuf>,
    every: Option<&str>,
    action: Result<Action, String>,
) -> Result<Step, String> {
    let every = every.map_or(Ok(Duration::ZERO), |text| time("every", text));
    let checked = match (is_word(&name), targets.is_empty()) {
        // It is a part of an attribute's name.
        (false, _) => Err("name: expected letters, digits and '-'".to_owned()),
        (_, true) => Err("targets: expected at least one path".to_owned()),
        _ => action.and_then(|action| Ok((action, every?))),
    };
    let (action, every) = checked.map_err(|why| format!("step '{name}': {why}"))?;
    Ok(Step {
        name,
        targets,
        every,
        action,
    })
}

fn is_word(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    !name.is_empty() && name.len() <= 64 && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::super::Policy;
    use super::*;

    #[test]
    fn steps_are_parsed_and_their_mistakes_named() {
        let gc = |more: &str| format!("[[gc]]\nname = 'weekly'\ntargets = ['/b']\n{more}");
        let policy = Policy::parse(&gc("every = '7d'")).unwrap();
        let week = Duration::from_secs(7 * 24 * 3600);
        assert_eq!(policy.steps[0].every, week);
        let listing = Action::Gc {
            store: None,
            grace: GRACE,
            delete: false,
        };
        assert_eq!(
            policy.steps[0].action, listing,
            "nothing is deleted unless it says so"
        );
        for (text, named) in [
            (gc("delte = true"), "delte"),
            (
                format!("{0}{0}", gc("")),
                "two [[gc]] have the name 'weekly'",
            ),
            (gc("grace = 'long'"), "step 'weekly': grace"),
            (gc("every = '7'"), "step 'weekly': every"),
            (gc("").replace("weekly", "a b"), "step 'a b': name"),
            (gc("").replace("'/b'", ""), "targets"),
            (gc("store = 'A'"), "step 'weekly': store"),
            (
                gc("from = 'a'\nto = 'a'").replace("gc", "migrate"),
                "step 'weekly': from, to",
            ),
            (
                gc("days = 400").replace("gc", "restore"),
                "step 'weekly': days",
            ),
            (
                gc("keep = 0").replace("gc", "catalog"),
                "step 'weekly': keep",
            ),
        ] {
            let error = Policy::parse(&text).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
