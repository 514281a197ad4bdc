// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync history`: what was recalled and archived, for whom, as the clients of this machine wrote it to their logs.

use std::path::PathBuf;
use std::time::SystemTime;

use cloudsync_format::history::{Event, File};
use serde::Serialize;

use crate::cli::{HistoryArgs, OutputFlags};
use crate::crawl::show;
use crate::exit::{Ended, Error};
use crate::jobs;
use crate::report::{self, Screen, human};
use crate::volume;

mod logs;
mod summary;

use logs::Entry;
use summary::Summary;

/// An event, as `--json` has it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    time: String,
    volume: &'a str,
    #[serde(flatten)]
    event: &'a Event,
}

/// Runs the command.
pub(crate) fn command(args: &HistoryArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let volume = volume::name_of(&args.target)?;
    let since = SystemTime::now().checked_sub(args.since);
    let since = since.unwrap_or(SystemTime::UNIX_EPOCH);
    let places = match args.logs.as_slice() {
        [] => vec![PathBuf::from(logs::FOLDER)],
        given => given.to_vec(),
    };
    let files = logs::files(&places, since)?;
    let mut failed = false;
    let mut entries = Vec::new();
    for path in files {
        let wanted = |entry: &Entry| {
            entry.volume == volume && entry.time >= since && is_wanted(args, &entry.event)
        };
        if let Err(error) = logs::read(&path, wanted, &mut entries) {
            failed = true;
            screen.failure(&report::Event::new("failed", &path).why(&error.to_string()));
        }
    }
    // Of equal times, those of one file stay in order.
    entries.sort_by_key(|entry| entry.time);
    if args.summary {
        let summary = Summary::of(entries.iter().map(|entry| &entry.event));
        screen.summary(summary.to_string().trim_end(), &summary);
        return Ok(Ended::of(failed));
    }
    for entry in &entries {
        if screen.wants_json() {
            screen.json(&Shown {
                time: humantime::format_rfc3339_millis(entry.time).to_string(),
                volume: &entry.volume,
                event: &entry.event,
            });
        } else {
            screen.print(&line(entry));
        }
    }
    Ok(Ended::of(failed))
}

fn is_wanted(args: &HistoryArgs, event: &Event) -> bool {
    let file = match event {
        Event::Failed(file) => file,
        Event::Recalled(file) | Event::Archived(file) | Event::Served(file) if !args.failed => file,
        Event::Recalled(_) | Event::Archived(_) | Event::Served(_) => return false,
        // It is not known of whom and of which files.
        Event::Unlisted(_) => return args.user.is_none() && args.under.is_none(),
    };
    let uid = file.by.as_ref().map(|by| by.uid);
    let under = args.under.as_ref();
    under.is_none_or(|under| is_under(&file.path, under))
        && args.user.is_none_or(|user| uid == Some(user))
}

/// Whether a path of the volume is `under`, or below it.
fn is_under(path: &str, under: &str) -> bool {
    let rest = path.strip_prefix(under.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// An event in words.
fn line(entry: &Entry) -> String {
    let time = humantime::format_rfc3339_seconds(entry.time);
    let text = match &entry.event {
        Event::Recalled(file) => format!("recalled {}", of_file(file)),
        Event::Archived(file) => format!("archived {}", of_file(file)),
        Event::Failed(file) => {
            let error = file.error.as_deref().unwrap_or("?");
            format!("failed {}: {}", of_file(file), show(error))
        }
        Event::Served(file) => {
            let cause = file.cause.as_deref().unwrap_or("?");
            format!(
                "left cold {} ({}, {}): {}",
                show(&file.path),
                human(file.bytes),
                who(file),
                show(cause)
            )
        }
        Event::Unlisted(rest) => format!(
            "not listed: {} recalled ({}), {} failed, {} archived ({}), {} left cold",
            rest.recalled,
            human(rest.recalled_bytes),
            rest.failed,
            rest.archived,
            human(rest.archived_bytes),
            rest.served
        ),
    };
    format!("{time} {text}")
}

fn of_file(file: &File) -> String {
    format!(
        "{} ({} in {:.3} s, {})",
        show(&file.path),
        human(file.bytes),
        file.seconds,
        who(file)
    )
}

/// Whose operation it was: `read by rsync (4711), user 1000`.
fn who(file: &File) -> String {
    let Some(by) = &file.by else {
        return file.why.clone();
    };
    let name = jobs::named(by.command.as_deref(), by.pid);
    format!("{} by {name}, user {}", file.why, by.uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_under_itself_and_its_folders() {
        for under in ["/", "", "/a", "/a/", "/a/b"] {
            assert!(is_under("/a/b", under), "{under}");
        }
        for under in ["/b", "/a/b/c", "/a/bc"] {
            assert!(!is_under("/a/b", under), "{under}");
        }
        assert!(!is_under("/ab", "/a"));
    }
}
