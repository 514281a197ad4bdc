// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Selects the files to archive, and explains why a file is or is not selected.

use std::time::Duration;

use cloudsync_format::claim::Time;
use cloudsync_format::pin::Pin;
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use super::times::{Times, age, ago, is_older};
use super::{Found, show};
use crate::child;
use crate::cli::{SelectFlags, WhichFlags};
use crate::exit::Error;
use crate::report::human;

/// The selection options, with patterns compiled and user names resolved. A file must meet every condition.
#[derive(Clone, Debug)]
pub(crate) struct Selection(Vec<Condition>);

/// Why a file is not selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// Modified lately.
    Fresh,
    /// Used lately.
    Used,
    /// Recalled lately, or never.
    Recalled,
    Small,
    NotSelected,
    /// It, or a folder above it, is pinned.
    Pinned,
}

/// One condition. Its order in a selection is that in which the reasons are counted.
#[derive(Clone, Debug)]
enum Condition {
    Include(Vec<String>, Globs),
    Exclude(Vec<String>, Globs),
    Owner(Vec<String>, Vec<u32>),
    LargerThan(u64),
    OlderThan(Duration),
    UnusedFor(Duration),
    MinResidency(Duration),
    RecalledBefore(Duration),
    /// Of a cold file.
    ArchivedWithin(Duration),
}

/// A condition, and whether a file meets it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Explained {
    /// As an option of `cloudsync archive`, without the dashes.
    pub(crate) condition: String,
    /// What the file has.
    pub(crate) found: String,
    pub(crate) met: bool,
}

impl Condition {
    const fn left_out(&self) -> LeftOut {
        match self {
            Self::Include(..) | Self::Exclude(..) | Self::Owner(..) => LeftOut::NotSelected,
            Self::LargerThan(_) => LeftOut::Small,
            Self::OlderThan(_) => LeftOut::Fresh,
            Self::UnusedFor(_) => LeftOut::Used,
            Self::MinResidency(_) | Self::RecalledBefore(_) => LeftOut::Recalled,
            Self::ArchivedWithin(_) => LeftOut::NotSelected,
        }
    }

    fn is_met(&self, found: &Found) -> bool {
        match self {
            Self::Include(_, globs) => globs.matches(found),
            Self::Exclude(_, globs) => !globs.matches(found),
            Self::Owner(_, owners) => owners.contains(&found.uid),
            Self::LargerThan(size) => found.size >= *size,
            Self::OlderThan(_) | Self::UnusedFor(_) => self.is_met_by(&found.times),
            Self::MinResidency(age) => recalled(found).is_none_or(|then| is_older(then, *age)),
            Self::RecalledBefore(age) => recalled(found).is_some_and(|then| is_older(then, *age)),
            Self::ArchivedWithin(age) => archived(found).is_some_and(|then| !is_older(then, *age)),
        }
    }

    /// Whether the pin makes up for it: a file that its user wants archived soon need not be old.
    fn is_waived(&self, pin: Option<Pin>) -> bool {
        pin == Some(Pin::ArchiveSoon)
            && matches!(
                self,
                Self::OlderThan(_)
                    | Self::UnusedFor(_)
                    | Self::MinResidency(_)
                    | Self::RecalledBefore(_)
            )
    }

    /// The conditions that are about these times alone; the others are met.
    fn is_met_by(&self, times: &Times) -> bool {
        match self {
            Self::OlderThan(age) => is_older(times.modified, *age),
            Self::UnusedFor(age) => is_older(used(times), *age),
            _ => true,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Include(patterns, _) => format!("include {}", patterns.join(", ")),
            Self::Exclude(patterns, _) => format!("exclude {}", patterns.join(", ")),
            Self::Owner(owners, _) => format!("owner {}", owners.join(", ")),
            Self::LargerThan(size) => format!("larger-than {}", human(*size)),
            Self::OlderThan(time) => format!("older-than {}", age(*time)),
            Self::UnusedFor(time) => format!("unused-for {}", age(*time)),
            Self::MinResidency(time) => format!("min-residency {}", age(*time)),
            Self::RecalledBefore(time) => format!("recalled-before {}", age(*time)),
            Self::ArchivedWithin(time) => format!("archived-within {}", age(*time)),
        }
    }

    /// What a file has of what the condition asks for.
    fn found(&self, found: &Found) -> String {
        match self {
            Self::Include(..) | Self::Exclude(..) => format!("/{}", show(&found.path)),
            Self::Owner(..) => format!("user {}", found.uid),
            Self::LargerThan(_) => human(found.size),
            Self::OlderThan(_) => format!("modified {}", ago(found.times.modified)),
            Self::UnusedFor(_) => format!("last used {}", ago(used(&found.times))),
            Self::MinResidency(_) | Self::RecalledBefore(_) => match recalled(found) {
                Some(then) => format!("recalled {}", ago(then)),
                None => "never recalled".to_owned(),
            },
            Self::ArchivedWithin(_) => match archived(found) {
                Some(then) => format!("archived {}", ago(then)),
                None => "archived at an unknown time".to_owned(),
            },
        }
    }
}

/// When a file with these times was last used. A recall is an access.
pub(crate) fn used(times: &Times) -> Time {
    times.accessed.max(times.modified)
}

/// When a local file was last recalled, or a little later; `None` if it never was. A client of an older version does not
/// note the access.
fn recalled(found: &Found) -> Option<Time> {
    Some(archived(found)?.max(found.times.accessed))
}

/// When the file was last archived, if that is known.
fn archived(found: &Found) -> Option<Time> {
    Some(Time {
        seconds: i64::try_from(found.archived?).ok()?,
        nanos: 0,
    })
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
    /// For an archive.
    pub(crate) fn new(flags: &SelectFlags) -> Result<Self, Error> {
        let Self(mut all) = Self::of(&flags.which)?;
        all.push(Condition::OlderThan(flags.older_than));
        all.extend(flags.unused_for.map(Condition::UnusedFor));
        if !flags.min_residency.is_zero() {
            all.push(Condition::MinResidency(flags.min_residency));
        }
        all.extend(flags.recalled_before.map(Condition::RecalledBefore));
        Ok(Self(all))
    }

    /// For a recall.
    pub(crate) fn of_cold(which: &WhichFlags, within: Option<Duration>) -> Result<Self, Error> {
        let Self(mut all) = Self::of(which)?;
        all.extend(within.map(Condition::ArchivedWithin));
        Ok(Self(all))
    }

    fn of(which: &WhichFlags) -> Result<Self, Error> {
        let mut all = Vec::new();
        if !which.include.is_empty() {
            let globs = Globs::new(&which.include)?;
            all.push(Condition::Include(which.include.clone(), globs));
        }
        if !which.exclude.is_empty() {
            let globs = Globs::new(&which.exclude)?;
            all.push(Condition::Exclude(which.exclude.clone(), globs));
        }
        if !which.owner.is_empty() {
            let owners = which.owner.iter().map(|owner| user_id(owner));
            let owners = owners.collect::<Result<_, _>>()?;
            all.push(Condition::Owner(which.owner.clone(), owners));
        }
        all.push(Condition::LargerThan(which.larger_than.max(1)));
        Ok(Self(all))
    }

    /// Succeeds if the file is selected; the error is the reason if it is not. `pin`: the file's, or that of a folder.
    pub(crate) fn check(&self, found: &Found, pin: Option<Pin>) -> Result<(), LeftOut> {
        if pin == Some(Pin::NeverArchive) {
            return Err(LeftOut::Pinned);
        }
        let unmet = |condition: &&Condition| !condition.is_met(found) && !condition.is_waived(pin);
        let unmet = self.0.iter().find(unmet);
        unmet.map_or(Ok(()), |condition| Err(condition.left_out()))
    }

    /// As [`check`](Self::check), for a file that was selected and may have been used since.
    pub(crate) fn check_times(&self, times: &Times, pin: Option<Pin>) -> Result<(), LeftOut> {
        let unmet =
            |condition: &&Condition| !condition.is_met_by(times) && !condition.is_waived(pin);
        let unmet = self.0.iter().find(unmet);
        unmet.map_or(Ok(()), |condition| Err(condition.left_out()))
    }

    /// Every condition, and whether the file meets it.
    pub(crate) fn explain(&self, found: &Found, pin: Option<Pin>) -> Vec<Explained> {
        let pinned = pin.map(|pin| Explained {
            condition: format!("pin {}", pin.text()),
            found: "of the file, or the nearest folder above it".to_owned(),
            met: pin != Pin::NeverArchive,
        });
        let explained = self.0.iter().map(|condition| Explained {
            condition: condition.text(),
            found: condition.found(found),
            met: condition.is_met(found) || condition.is_waived(pin),
        });
        pinned.into_iter().chain(explained).collect()
    }
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
    use std::time::SystemTime;

    use super::*;
    use crate::cli::WhosePins;
    use crate::crawl::State;

    const DAY: u64 = 86_400;

    /// So many seconds ago.
    fn before(seconds: u64) -> Time {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Time {
            seconds: i64::try_from(now.unwrap().as_secs() - seconds).unwrap(),
            nanos: 0,
        }
    }

    fn found(path: &str, size: u64) -> Found {
        Found {
            path: PathBuf::from(path),
            at: PathBuf::from(path),
            state: State::Local,
            size,
            times: Times {
                accessed: before(100 * DAY),
                modified: before(100 * DAY),
            },
            archived: None,
            uid: 7,
            kept: false,
        }
    }

    fn flags() -> SelectFlags {
        SelectFlags {
            older_than: Duration::from_secs(60),
            unused_for: None,
            min_residency: Duration::from_secs(7 * DAY),
            recalled_before: None,
            which: WhichFlags {
                larger_than: 10,
                include: Vec::new(),
                exclude: Vec::new(),
                owner: Vec::new(),
            },
            pins: WhosePins::Owners,
        }
    }

    fn selection(include: &[&str], exclude: &[&str], owner: &[&str]) -> Selection {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Selection::new(&SelectFlags {
            which: WhichFlags {
                include: own(include),
                exclude: own(exclude),
                owner: own(owner),
                larger_than: 10,
            },
            ..flags()
        })
        .unwrap()
    }

    #[test]
    fn a_rule_says_which_files() {
        let all = selection(&[], &[], &[]);
        assert_eq!(all.check(&found("a", 10), None), Ok(()));
        assert_eq!(all.check(&found("a", 9), None), Err(LeftOut::Small));
        let mut young = found("a", 10);
        young.times.modified.seconds = i64::MAX / 2;
        assert_eq!(all.check(&young, None), Err(LeftOut::Fresh));
        assert_eq!(all.check_times(&young.times, None), Err(LeftOut::Fresh));
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
            assert_eq!(some.check(&found(path, 10), None).is_ok(), wanted, "{path}");
        }
        let others = selection(&[], &[], &["8"]);
        assert_eq!(
            others.check(&found("a", 10), None),
            Err(LeftOut::NotSelected)
        );
    }

    /// `recalled` and `archived`: days ago.
    fn once_archived(recalled: u64, archived: u64) -> Found {
        let mut file = found("a", 10);
        file.times.accessed = before(recalled * DAY);
        file.archived = Some(before(archived * DAY).seconds.cast_unsigned());
        file
    }

    #[test]
    fn a_recalled_file_stays_for_its_residency() {
        let week = selection(&[], &[], &[]);
        let back = once_archived;
        assert_eq!(week.check(&back(6, 50), None), Err(LeftOut::Recalled));
        assert_eq!(week.check(&back(8, 50), None), Ok(()));
        // A client of an older version recalled it, and did not say so.
        assert_eq!(week.check(&back(90, 6), None), Err(LeftOut::Recalled));
        let none = SelectFlags {
            min_residency: Duration::ZERO,
            ..flags()
        };
        let none = Selection::new(&none).unwrap();
        assert_eq!(none.check(&back(0, 50), None), Ok(()));
        let again = SelectFlags {
            min_residency: Duration::ZERO,
            recalled_before: Some(Duration::from_secs(3 * DAY)),
            ..flags()
        };
        let again = Selection::new(&again).unwrap();
        assert_eq!(again.check(&back(4, 50), None), Ok(()));
        assert_eq!(again.check(&back(2, 50), None), Err(LeftOut::Recalled));
        assert_eq!(again.check(&found("a", 10), None), Err(LeftOut::Recalled));
    }

    #[test]
    fn a_file_in_use_stays() {
        let unused = SelectFlags {
            unused_for: Some(Duration::from_secs(10 * DAY)),
            ..flags()
        };
        let unused = Selection::new(&unused).unwrap();
        let mut file = found("a", 10);
        assert_eq!(unused.check(&file, None), Ok(()));
        file.times.accessed = before(9 * DAY);
        assert_eq!(unused.check(&file, None), Err(LeftOut::Used));
        assert_eq!(unused.check_times(&file.times, None), Err(LeftOut::Used));
        // Modified later than read.
        file.times.accessed = before(100 * DAY);
        file.times.modified = before(9 * DAY);
        assert_eq!(unused.check(&file, None), Err(LeftOut::Used));
    }

    #[test]
    fn each_condition_is_explained() {
        let rule = selection(&["*.mov"], &[], &[]);
        let explained = rule.explain(&once_archived(2, 50), None);
        let lines: Vec<_> = explained
            .iter()
            .map(|line| (line.condition.as_str(), line.met))
            .collect();
        let expected = [
            ("include *.mov", false),
            ("larger-than 10 B", true),
            ("older-than 1m", true),
            ("min-residency 7d", false),
        ];
        assert_eq!(lines, expected);
        assert_eq!(explained[0].found, "/a");
        assert!(
            explained[3].found.starts_with("recalled 2d"),
            "{explained:?}"
        );
    }

    #[test]
    fn pins_take_precedence() {
        let rule = selection(&["*.mov"], &[], &[]);
        let (old, mut young) = (found("a.mov", 10), found("b.mov", 10));
        young.times.modified = before(1);
        assert_eq!(rule.check(&old, None), Ok(()));
        assert_eq!(
            rule.check(&old, Some(Pin::NeverArchive)),
            Err(LeftOut::Pinned)
        );
        let soon = Some(Pin::ArchiveSoon);
        assert_eq!(rule.check(&young, None), Err(LeftOut::Fresh));
        assert_eq!(rule.check(&young, soon), Ok(()));
        assert_eq!(rule.check_times(&young.times, soon), Ok(()));
        // A rule for other files is still for others.
        assert_eq!(rule.check(&found("c", 10), soon), Err(LeftOut::NotSelected));
        let lines = rule.explain(&old, Some(Pin::NeverArchive));
        assert!(lines[0].condition == "pin never-archive" && !lines[0].met);
    }

    #[test]
    fn owners_have_names_or_numbers() {
        assert_eq!(user_id("root").unwrap(), 0);
        assert_eq!(user_id("12").unwrap(), 12);
        assert!(user_id("nobody-of-that-name").is_err());
    }
}
