// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Who may bring files back: the setting `callers`, rules by user, group, program, machine and number of
//! files, of which the first
//! that fits decides on a read of a cold file. Without one that fits, the read recalls.
//!
//! ```text
//! callers=refuse:command:clamscan+remote:command:restic:uid:0+remote:files:100
//! ```

#![forbid(unsafe_code)]

pub mod counts;

use crate::sync::Arc;

/// What a caller's read of a cold file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// It recalls the file, as far as other limits allow.
    Recall,
    /// It is served from the store, and the file stays cold.
    ReadRemotely,
    /// It fails with EACCES.
    NotRead,
}

/// Who reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The program's name, if the process is one of this machine.
    pub command: Option<String>,
    /// This machine's name.
    pub client: String,
    /// How many cold files the process has read lately, with this one.
    pub files: u64,
}

/// The rules; none by default. Cheap to copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Option<Arc<[Rule]>>);

/// A rule: what those may for whom all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    may: May,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Uid(u32),
    Gid(u32),
    /// The program's name; with `*` at its end, its beginning.
    Command(String),
    /// The machine's name; with `*` at its end, its beginning.
    Client(String),
    /// It has read more than so many cold files lately.
    Files(u64),
}

/// What is expected of the setting.
pub const EXPECTED: &str = "rules such as refuse:command:clamscan+remote:uid:1001+remote:files:100, of recall, remote or refuse, \
     with uid, gid, command, client and files";

impl Rules {
    /// Parses the setting; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let rules = text.split('+').map(Rule::parse);
        let rules = rules.collect::<Option<Vec<_>>>()?;
        Some(Self(Some(rules.into())))
    }

    /// Whether there are any.
    #[must_use]
    pub const fn exist(&self) -> bool {
        self.0.is_some()
    }

    /// What a caller may do.
    #[must_use]
    pub fn of(&self, caller: &Caller) -> May {
        let mut rules = self.0.iter().flat_map(|rules| rules.iter());
        let rule = rules.find(|rule| rule.conditions.iter().all(|one| one.holds(caller)));
        rule.map_or(May::Recall, |rule| rule.may)
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(':');
        let may = match words.next()? {
            "recall" => May::Recall,
            "remote" => May::ReadRemotely,
            "refuse" => May::NotRead,
            _ => return None,
        };
        let mut conditions = Vec::new();
        while let Some(key) = words.next() {
            let value = words.next().filter(|value| !value.is_empty())?;
            conditions.push(match key {
                "uid" => Condition::Uid(value.parse().ok()?),
                "gid" => Condition::Gid(value.parse().ok()?),
                "files" => Condition::Files(value.parse().ok()?),
                "command" => Condition::Command(value.to_owned()),
                "client" => Condition::Client(value.to_owned()),
                _ => return None,
            });
        }
        Some(Self { may, conditions })
    }
}

impl Condition {
    fn holds(&self, caller: &Caller) -> bool {
        match self {
            Self::Uid(uid) => *uid == caller.uid,
            Self::Gid(gid) => *gid == caller.gid,
            Self::Files(most) => caller.files > *most,
            Self::Client(name) => fits(name, &caller.client),
            Self::Command(name) => {
                let command = caller.command.as_deref();
                // The kernel keeps the first 15 bytes of a program's name (TASK_COMM_LEN).
                let name = match name.get(..15) {
                    Some(kept) if !name.ends_with('*') => kept,
                    _ => name,
                };
                command.is_some_and(|command| fits(name, command))
            }
        }
    }
}

/// Whether a name is the one that a rule has; with `*` at the rule's end, whether it begins so.
fn fits(rule: &str, name: &str) -> bool {
    match rule.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == rule,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(uid: u32, command: &str, files: u64) -> Caller {
        Caller {
            uid,
            gid: uid + 1,
            command: Some(command.to_owned()).filter(|command| !command.is_empty()),
            client: "backup-1.example".to_owned(),
            files,
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let text = "refuse:command:clam*+recall:uid:7+remote:command:restic:uid:0+remote:files:100+refuse:gid:6";
        let rules = Rules::parse(text).unwrap();
        for (caller, may) in [
            (caller(7, "clamscan", 1), May::NotRead),
            (caller(7, "cat", 1000), May::Recall),
            (caller(0, "restic", 1), May::ReadRemotely),
            (caller(1, "restic", 1), May::Recall),
            (caller(1, "grep", 100), May::Recall),
            (caller(1, "grep", 101), May::ReadRemotely),
            (caller(5, "", 1), May::NotRead),
        ] {
            assert_eq!(rules.of(&caller), may, "{caller:?}");
        }
        assert_eq!(Rules::default().of(&caller(0, "x", 9)), May::Recall);
        let all = Rules::parse("remote").unwrap();
        assert_eq!(all.of(&caller(0, "x", 9)), May::ReadRemotely);
        for (client, may) in [
            ("backup-1.example", May::ReadRemotely),
            ("backup-*", May::ReadRemotely),
            ("backup-1", May::Recall),
        ] {
            let rules = Rules::parse(&format!("remote:client:{client}")).unwrap();
            assert_eq!(rules.of(&caller(0, "x", 1)), may, "{client}");
        }
        let long = Rules::parse("refuse:command:a-very-long-name-of-a-program").unwrap();
        assert_eq!(long.of(&caller(0, "a-very-long-nam", 1)), May::NotRead);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "allow:uid:1",
            "remote:uid",
            "remote:uid:",
            "remote:uid:root",
            "remote:files:-1",
            "remote:host:a",
            "remote:uid:1+",
        ] {
            assert_eq!(Rules::parse(text), None, "{text}");
        }
        assert!(!Rules::parse("").unwrap().exist());
    }
}
