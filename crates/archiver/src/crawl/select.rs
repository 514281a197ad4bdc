// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Selects the files to archive.

use std::time::{Duration, SystemTime};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use super::Found;
use crate::child;
use crate::cli::SelectFlags;
use crate::exit::Error;

/// The selection options, with patterns compiled and user names resolved.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) older_than: Duration,
    larger_than: u64,
    include: Option<Globs>,
    exclude: Globs,
    owners: Vec<u32>,
}

/// Why a file is not selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOut {
    Fresh,
    Small,
    NotSelected,
}

#[derive(Clone, Debug)]
struct Globs {
    /// Patterns without a slash, matched against the name.
    names: GlobSet,
    /// Patterns with a slash, matched against the path from the volume's root.
    paths: GlobSet,
}

impl Globs {
    fn new(patterns: &[String]) -> Result<Self, Error> {
        let (mut names, mut paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        let wrong = |error: globset::Error| Error::Usage(error.to_string());
        for pattern in patterns {
            if let Some((_, path)) = pattern.split_once('/').map(|_| ((), pattern)) {
                let glob = GlobBuilder::new(path.trim_start_matches('/'))
                    .literal_separator(true)
                    .build();
                paths.add(glob.map_err(wrong)?);
            } else {
                names.add(Glob::new(pattern).map_err(wrong)?);
            }
        }
        Ok(Self {
            names: names.build().map_err(wrong)?,
            paths: paths.build().map_err(wrong)?,
        })
    }

    fn matches(&self, found: &Found) -> bool {
        let name = found.path.file_name();
        self.paths.is_match(&found.path) || name.is_some_and(|name| self.names.is_match(name))
    }
}

impl Selection {
    pub(crate) fn new(flags: &SelectFlags) -> Result<Self, Error> {
        let include = (!flags.include.is_empty())
            .then(|| Globs::new(&flags.include))
            .transpose()?;
        let owners = flags.owner.iter().map(|owner| user_id(owner));
        Ok(Self {
            older_than: flags.older_than,
            larger_than: flags.larger_than,
            include,
            exclude: Globs::new(&flags.exclude)?,
            owners: owners.collect::<Result<_, _>>()?,
        })
    }

    /// Succeeds if the file is selected; the error is the reason if it is not.
    pub(crate) fn check(&self, found: &Found) -> Result<(), LeftOut> {
        let wanted = self
            .include
            .as_ref()
            .is_none_or(|globs| globs.matches(found))
            && !self.exclude.matches(found)
            && (self.owners.is_empty() || self.owners.contains(&found.uid));
        if !wanted {
            Err(LeftOut::NotSelected)
        } else if found.size < self.larger_than.max(1) {
            Err(LeftOut::Small)
        } else if !is_older(found.seconds, found.nanos, self.older_than) {
            Err(LeftOut::Fresh)
        } else {
            Ok(())
        }
    }
}

/// Whether a time is at least `age` ago. False for times in the future.
pub(crate) fn is_older(seconds: i64, nanos: u32, age: Duration) -> bool {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let now = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX);
    let then = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let age = i128::try_from(age.as_nanos()).unwrap_or(i128::MAX);
    now - then >= age
}

/// Resolves a user name or number. Calls `id`, so that NSS sources such as LDAP are used.
fn user_id(owner: &str) -> Result<u32, Error> {
    if let Ok(number) = owner.parse() {
        return Ok(number);
    }
    let output = child::command("id").args(["-u", "--", owner]).output();
    let answer = output.ok().filter(|output| output.status.success());
    answer
        .and_then(|output| String::from_utf8_lossy(&output.stdout).trim().parse().ok())
        .ok_or_else(|| Error::Usage(format!("no such user: '{owner}'")))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::crawl::State;

    fn found(path: &str, size: u64) -> Found {
        Found {
            path: PathBuf::from(path),
            at: PathBuf::from(path),
            state: State::Local,
            size,
            seconds: 1_000,
            nanos: 0,
            uid: 7,
            kept: false,
        }
    }

    fn selection(include: &[&str], exclude: &[&str], owner: &[&str]) -> Selection {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Selection::new(&SelectFlags {
            older_than: Duration::from_secs(60),
            larger_than: 10,
            include: own(include),
            exclude: own(exclude),
            owner: own(owner),
        })
        .unwrap()
    }

    #[test]
    fn a_rule_says_which_files() {
        let all = selection(&[], &[], &[]);
        assert_eq!(all.check(&found("a", 10)), Ok(()));
        assert_eq!(all.check(&found("a", 9)), Err(LeftOut::Small));
        let mut young = found("a", 10);
        young.seconds = i64::MAX / 2;
        assert_eq!(all.check(&young), Err(LeftOut::Fresh));
        let some = selection(&["*.mov", "/video/**"], &["tmp*", "video/cut/*"], &["7"]);
        for (path, wanted) in [
            ("a/b.mov", true),
            ("b.txt", false),
            ("video/x/y", true),
            ("video/cut/y", false),
            ("deep/video/x", false),
            ("video/tmp1", false),
            ("a/tmp.mov", false),
        ] {
            assert_eq!(some.check(&found(path, 10)).is_ok(), wanted, "{path}");
        }
        let others = selection(&[], &[], &["8"]);
        assert_eq!(others.check(&found("a", 10)), Err(LeftOut::NotSelected));
    }

    #[test]
    fn owners_have_names_or_numbers() {
        assert_eq!(user_id("root").unwrap(), 0);
        assert_eq!(user_id("12").unwrap(), 12);
        assert!(user_id("nobody-of-that-name").is_err());
    }
}
