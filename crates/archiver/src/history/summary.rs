// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The sums of a history: how much, for whom, and what failed.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use cloudsync_format::history::{Event, File};
use serde::Serialize;

use crate::crawl::show;
use crate::report::human;

/// Files and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Sum {
    bytes: u64,
    files: u64,
}

impl Sum {
    fn add(&mut self, files: u64, bytes: u64) {
        self.files += files;
        self.bytes += bytes;
    }
}

/// Who caused recalls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Who {
    uid: Option<u32>,
    command: Option<String>,
}

impl Who {
    fn of(file: &File) -> Self {
        let by = file.by.as_ref();
        Self {
            uid: by.map(|by| by.uid),
            command: by.and_then(|by| by.command.clone()),
        }
    }
}

#[derive(Debug, Serialize)]
struct Recaller {
    #[serde(flatten)]
    who: Who,
    #[serde(flatten)]
    sum: Sum,
}

/// The sums. The field names are the keys of the JSON output.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    event: &'static str,
    recalled: Sum,
    archived: Sum,
    failed: u64,
    /// Files read from the store, for whom or by whose pin.
    served: u64,
    /// Failed recalls, by cause.
    causes: BTreeMap<String, u64>,
    /// The largest first.
    recalled_by: Vec<Recaller>,
}

impl Summary {
    pub(super) fn of<'a>(events: impl Iterator<Item = &'a Event>) -> Self {
        let (mut recalled, mut archived) = (Sum::default(), Sum::default());
        let (mut failed, mut served) = (0, 0);
        let mut causes = BTreeMap::<_, u64>::new();
        let mut by = BTreeMap::<Who, Sum>::new();
        for event in events {
            match event {
                Event::Recalled(file) => {
                    recalled.add(1, file.bytes);
                    by.entry(Who::of(file)).or_default().add(1, file.bytes);
                }
                Event::Archived(file) => archived.add(1, file.bytes),
                Event::Served(_) => served += 1,
                Event::Failed(file) => {
                    failed += 1;
                    let cause = file.cause.clone().unwrap_or_else(|| "?".to_owned());
                    *causes.entry(cause).or_default() += 1;
                }
                Event::Unlisted(rest) => {
                    recalled.add(rest.recalled, rest.recalled_bytes);
                    archived.add(rest.archived, rest.archived_bytes);
                    failed += rest.failed;
                    served += rest.served;
                }
            }
        }
        let recalled_by = by.into_iter().map(|(who, sum)| Recaller { who, sum });
        let mut recalled_by: Vec<_> = recalled_by.collect();
        recalled_by.sort_by_key(|recaller| Reverse(recaller.sum));
        Self {
            event: "summary",
            recalled,
            archived,
            failed,
            served,
            causes,
            recalled_by,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |sum: Sum| format!("{} ({})", sum.files, human(sum.bytes));
        write!(
            f,
            "recalled {}, failed {}, archived {}",
            of(self.recalled),
            self.failed,
            of(self.archived)
        )?;
        if self.served > 0 {
            write!(f, ", left cold {}", self.served)?;
        }
        writeln!(f)?;
        for Recaller { who, sum } in &self.recalled_by {
            let user = who
                .uid
                .map_or_else(|| "?".to_owned(), |uid| uid.to_string());
            let command = who.command.as_deref().map_or_else(|| "?".to_owned(), show);
            writeln!(f, "  by {command}, user {user}: {}", of(*sum))?;
        }
        for (cause, files) in &self.causes {
            writeln!(f, "  failed, {}: {files}", show(cause))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cloudsync_format::history::{By, Unlisted};

    use super::*;

    #[test]
    fn sums_are_those_of_the_events() {
        let file = |uid, bytes| File {
            path: "/a".to_owned(),
            gfid: String::new(),
            bytes,
            key: None,
            seconds: 0.1,
            store: String::new(),
            why: "read".to_owned(),
            by: Some(By {
                uid,
                pid: 1,
                command: Some("cat".to_owned()),
            }),
            client: String::new(),
            cause: Some("denied".to_owned()),
            error: None,
        };
        let events = [
            Event::Recalled(file(7, 1024)),
            Event::Recalled(file(8, 4096)),
            Event::Recalled(file(7, 1024)),
            Event::Failed(file(7, 0)),
            Event::Archived(file(0, 1)),
            Event::Served(file(7, 4096)),
            Event::Unlisted(Unlisted {
                recalled: 10,
                failed: 1,
                recalled_bytes: 4096,
                ..Unlisted::default()
            }),
        ];
        assert_eq!(
            Summary::of(events.iter()).to_string(),
            "recalled 13 (10.00 KiB), failed 2, archived 1 (1 B), left cold 1\n  by cat, user 8: 1 (4.00 KiB)\n  \
             by cat, user 7: 2 (2.00 KiB)\n  failed, denied: 1\n"
        );
    }
}
