// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The history: what was recalled and archived, for whom. A client writes an event as a line of its log, whose text is one
//! word and a JSON object: `recalled {"event":"recalled","path":"/a","gfid":...}`. `cloudsync history` reads them.

use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// A file's bytes are on the bricks again.
    Recalled(File),
    /// A recall failed; the file is still cold.
    Failed(File),
    /// A file is cold now.
    Archived(File),
    /// A file was read from the store and stays cold, because of who read it or its pin. Once for each process.
    Served(File),
    /// What is not listed one by one, because too much happened at once.
    Unlisted(Unlisted),
}

/// What happened to a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct File {
    /// Its path in the volume, as the client knew it.
    pub path: String,
    /// Its gfid.
    pub gfid: String,
    /// The bytes that came from the store; of an archived or served file, its size.
    pub bytes: u64,
    /// The key of an archived file's object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// The store.
    pub store: String,
    /// The operation that caused it: `read`, `write`..., `command` (`cloudsync recall`), or `archive`.
    pub why: String,
    /// The user of that operation.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// The machine whose client did it.
    pub client: String,
    /// Why it failed: a value of the label `cause` in docs/METRICS.md. Why it was served: `callers` or `pin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The caller of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// The user.
    pub uid: u32,
    /// The process, as the host passes it: see [`crate::jobs::Waiter::pid`].
    pub pid: i32,
    /// The process's name, if it is one of the client's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// Counts of what is not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlisted {
    /// Files recalled.
    pub recalled: u64,
    /// Recalls that failed.
    pub failed: u64,
    /// Files archived.
    pub archived: u64,
    /// Files read from the store.
    #[serde(default)]
    pub served: u64,
    /// The bytes of those recalled.
    pub recalled_bytes: u64,
    /// The bytes of those archived.
    pub archived_bytes: u64,
    /// The machine whose client did it.
    pub client: String,
}

impl Event {
    /// The line's text.
    #[must_use]
    pub fn line(&self) -> String {
        let word = match self {
            Self::Recalled(_) => "recalled",
            Self::Failed(_) => "failed",
            Self::Archived(_) => "archived",
            Self::Served(_) => "served",
            Self::Unlisted(_) => "unlisted",
        };
        // Structs of texts and finite numbers can always be written.
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{word} {json}")
    }

    /// Finds an event in a line's text; `None` if it has none.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let (word, json) = text.split_once(' ')?;
        let known = ["recalled", "failed", "archived", "served", "unlisted"].contains(&word);
        known.then(|| serde_json::from_str(json).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> File {
        File {
            path: "/a \"b\"\n".to_owned(),
            gfid: "8a45823a-57e8-4fe2-a80c-c265638ce08f".to_owned(),
            bytes: 4096,
            key: None,
            seconds: 0.25,
            store: "amazons3".to_owned(),
            why: "read".to_owned(),
            by: Some(By {
                uid: 1000,
                pid: 4711,
                command: Some("rsync".to_owned()),
            }),
            client: "node1".to_owned(),
            cause: None,
            error: None,
        }
    }

    #[test]
    fn lines_are_parsed_as_they_were_written() {
        let failed = File {
            by: None,
            cause: Some("denied".to_owned()),
            error: Some("the store refuses the credentials".to_owned()),
            ..file()
        };
        let unlisted = Unlisted {
            recalled: 7,
            client: "node1".to_owned(),
            ..Unlisted::default()
        };
        for event in [
            Event::Recalled(file()),
            Event::Failed(failed),
            Event::Archived(file()),
            Event::Served(file()),
            Event::Unlisted(unlisted),
        ] {
            let line = event.line();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(Event::find(&line), Some(event), "{line}");
        }
        let line = Event::Recalled(file()).line();
        assert!(
            line.starts_with(r#"recalled {"event":"recalled","path":"/a \"b\"\n","#)
                && line.contains(r#""uid":1000,"pid":4711,"command":"rsync","client":"node1"}"#),
            "{line}"
        );
    }

    #[test]
    fn other_lines_have_none() {
        for line in [
            "",
            "recalled",
            "recalled {}",
            "recalled files",
            "x {\"event\":\"recalled\"}",
        ] {
            assert_eq!(Event::find(line), None, "{line}");
        }
    }
}
