// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The list of a client's jobs on files, as its virtual attribute has it: who waits for what. A line of JSON for each job,
//! the longest-running first.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A job on a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The file's gfid.
    pub gfid: String,
    /// The bytes that are on the bricks, and those of the recall; `None` while the job does not fetch.
    pub progress: Option<(u64, u64)>,
    /// What it does, or waits for.
    pub stage: Stage,
    /// How long ago it began.
    pub milliseconds: u64,
    /// The operations of applications that wait for it.
    pub waiters: Vec<Waiter>,
    /// The path by which this client knows the file.
    pub path: String,
}

/// What a job does, or waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It waits for a thread: other recalls come first.
    Queued,
    /// It asks the bricks for the file's state.
    Bricks,
    /// It waits for the file's lock, which another client has.
    Lock,
    /// It has the lock, and recalls the file, or settles what another client left.
    Working,
}

/// An operation that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// The caller's process, as the host passes it: of another machine if the client is a server (Samba, NFS-Ganesha);
    /// negative for programs of GlusterFS.
    pub pid: i32,
    /// The caller's user.
    pub uid: u32,
    /// The operation: `read`, `write`...
    pub what: Cow<'static, str>,
}

impl Job {
    /// The job as a line, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        // A struct of texts and numbers can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Parses a line, without its end; `None` if it is not one.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parsed_as_they_were_written() {
        let waiter = Waiter {
            pid: -1,
            uid: 65534,
            what: "read".into(),
        };
        for path in ["/a", "/with \"space\"", "/new\nline\\n", ""] {
            let job = Job {
                gfid: "8a45823a-57e8-4fe2-a80c-c265638ce08f".to_owned(),
                progress: (!path.is_empty()).then_some((5, 10)),
                stage: Stage::Lock,
                milliseconds: 1234,
                waiters: vec![waiter.clone(); path.len()],
                path: path.to_owned(),
            };
            let line = job.line();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(Job::parse(&line), Some(job), "{line}");
        }
        assert_eq!(Job::parse("a - - 1 - /b"), None);
    }
}
