// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The list of a client's jobs on files, as its virtual attribute has it: who waits for what.
//!
//! A line for each job, the longest-running first: `GFID DONE SIZE MILLISECONDS WAITERS PATH`, with one space in between.
//! `DONE` and `SIZE` are bytes of the recall, both `-` while the job does not fetch. `WAITERS` is `PID:UID:OPERATION`, with
//! commas in between, or `-`. The path goes to the end of the line, with `\` before itself and `\n` for a line feed.

use std::fmt;

/// A job on a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The file's gfid.
    pub gfid: String,
    /// The bytes that are on the bricks, and those of the recall; `None` while the job waits for a thread, for the file's
    /// lock or for the bricks.
    pub progress: Option<(u64, u64)>,
    /// How long ago it began.
    pub milliseconds: u64,
    /// The operations of applications that wait for it.
    pub waiters: Vec<Waiter>,
    /// The path by which this client knows the file.
    pub path: String,
}

/// An operation that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// The caller's process, as the host passes it: of another machine if the client is a server (Samba, NFS-Ganesha);
    /// negative for programs of GlusterFS.
    pub pid: i32,
    /// The caller's user.
    pub uid: u32,
    /// The operation: `read`, `write`...
    pub what: String,
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.gfid)?;
        match self.progress {
            Some((done, size)) => write!(f, "{done} {size}")?,
            None => f.write_str("- -")?,
        }
        write!(f, " {} ", self.milliseconds)?;
        for (index, Waiter { pid, uid, what }) in self.waiters.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{pid}:{uid}:{what}")?;
        }
        if self.waiters.is_empty() {
            f.write_str("-")?;
        }
        let path = self.path.replace('\\', "\\\\").replace('\n', "\\n");
        write!(f, " {path}")
    }
}

impl Job {
    /// Parses a line, without its end; `None` if it is not one.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(6, ' ');
        let mut word = || words.next();
        let (gfid, done, size) = (word()?.to_owned(), word()?, word()?);
        let progress = match (done, size) {
            ("-", "-") => None,
            (done, size) => Some((done.parse().ok()?, size.parse().ok()?)),
        };
        let milliseconds = word()?.parse().ok()?;
        let waiters = match word()? {
            "-" => Vec::new(),
            list => list
                .split(',')
                .map(Waiter::parse)
                .collect::<Option<Vec<_>>>()?,
        };
        Some(Self {
            gfid,
            progress,
            milliseconds,
            waiters,
            path: unescaped(word()?)?,
        })
    }
}

impl Waiter {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        Some(Self {
            pid: parts.next()?.parse().ok()?,
            uid: parts.next()?.parse().ok()?,
            what: parts.next()?.to_owned(),
        })
    }
}

fn unescaped(text: &str) -> Option<String> {
    let mut path = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        path.push(match next {
            '\\' => match rest.next()? {
                '\\' => '\\',
                'n' => '\n',
                _ => return None,
            },
            next => next,
        });
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(path: &str, waiters: usize) -> Job {
        let waiter = |number: i32| Waiter {
            pid: -number,
            uid: 65534,
            what: "read".to_owned(),
        };
        Job {
            gfid: "8a45823a-57e8-4fe2-a80c-c265638ce08f".to_owned(),
            progress: (waiters > 0).then_some((5, 10)),
            milliseconds: 1234,
            waiters: (1_i32..).take(waiters).map(waiter).collect(),
            path: path.to_owned(),
        }
    }

    #[test]
    fn lines_are_parsed_as_they_were_written() {
        for path in ["/a", "/with space", "/new\nline\\n", "", "\\"] {
            for waiters in 0..3 {
                let job = job(path, waiters);
                let line = job.to_string();
                assert!(!line.contains('\n'), "{line}");
                assert_eq!(Job::parse(&line), Some(job), "{line}");
            }
        }
        assert_eq!(
            job("/a b", 2).to_string(),
            "8a45823a-57e8-4fe2-a80c-c265638ce08f 5 10 1234 -1:65534:read,-2:65534:read /a b"
        );
    }

    #[test]
    fn other_lines_are_none() {
        for line in [
            "",
            "a",
            "a 1 2 3 -",
            "a 1 - 3 - /b",
            "a - - x - /b",
            "a - - 1 1:2 /b",
            "a - - 1 - \\x",
        ] {
            assert_eq!(Job::parse(line), None, "{line}");
        }
    }
}
