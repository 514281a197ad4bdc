// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync status`: where a file is, or how much of a tree is where.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::cli::{OutputFlags, StatusArgs};
use crate::crawl::{STATE, State, crawl, show};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::recall::why;
use crate::report::{Event, Progress, Screen, human};
use crate::volume::Target;

/// Of one file.
#[derive(Debug, Serialize)]
struct Status {
    event: &'static str,
    path: String,
    state: String,
    bytes: u64,
    mtime: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// Of a tree.
#[derive(Debug, Serialize)]
struct Summary {
    event: &'static str,
    path: String,
    local_files: u64,
    local_bytes: u64,
    cold_files: u64,
    cold_bytes: u64,
    between_files: u64,
    unreadable: u64,
}

/// The command.
pub(crate) fn command(args: &StatusArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let mut failed = false;
    for path in &args.paths {
        if args.summary {
            let summary = summary(path, &screen)?;
            failed |= summary.unreadable > 0;
            screen.summary(&summary.to_string(), &summary);
            continue;
        }
        match of(path) {
            Ok(status) if screen.wants_json() => screen.json(&status),
            Ok(status) => screen.print(&status.to_string()),
            Err(error) => {
                failed = true;
                screen.failure(&Event::new("failed", path).why(&why(&error)));
            }
        }
    }
    Ok(Ended::of(failed))
}

fn of(path: &Path) -> io::Result<Status> {
    let data = path.symlink_metadata()?;
    if !data.is_file() {
        return Err(io::Error::other(
            "not a regular file; --summary is for directories",
        ));
    }
    let no_translator = || {
        io::Error::other(
            "not in a mount with the translator: give the path in a mount of the volume",
        )
    };
    let answer = xattr::get(path, STATE)?.ok_or_else(no_translator)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    // "cold size=7 key=..." to root, "cold" to others.
    let (state, key) = match answer.split_once(" size=") {
        Some((state, rest)) => (state, rest.split_once(" key=").map(|(_, key)| key)),
        None => (answer.as_str(), None),
    };
    Ok(Status {
        event: "status",
        path: show(path),
        state: state.to_owned(),
        bytes: data.len(),
        mtime: data.mtime(),
        key: key.filter(|key| !key.is_empty()).map(str::to_owned),
    })
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}, {}, modified {}",
            self.path,
            self.state,
            human(self.bytes),
            age(self.mtime)
        )?;
        match &self.key {
            Some(key) => write!(f, ", object {key}"),
            None => Ok(()),
        }
    }
}

/// In the unit that tells most.
fn age(seconds: i64) -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let age = u64::try_from(
        i64::try_from(now.as_secs())
            .unwrap_or(i64::MAX)
            .saturating_sub(seconds),
    );
    let Ok(age) = age else {
        return "in the future".to_owned();
    };
    let whole = match age {
        0..120 => age,
        120..7200 => age / 60 * 60,
        7200..172_800 => age / 3600 * 3600,
        _ => age / 86_400 * 86_400,
    };
    format!(
        "{} ago",
        humantime::format_duration(Duration::from_secs(whole))
    )
}

fn summary(path: &Path, screen: &Screen) -> Result<Summary, Error> {
    let target = Target::find(path)?;
    let [local, local_bytes, cold, cold_bytes, between, unreadable] =
        [const { AtomicU64::new(0) }; 6];
    let add = |counter: &AtomicU64, number| {
        counter.fetch_add(number, Ordering::Relaxed);
    };
    crawl(
        &target,
        &|found| {
            match found.state {
                State::Local => {
                    add(&local, 1);
                    add(&local_bytes, found.size);
                }
                State::Cold => {
                    add(&cold, 1);
                    add(&cold_bytes, found.size);
                }
                State::Between => add(&between, 1),
            }
            screen.looking(|| {
                let [local, cold] = [&local, &cold].map(|counter| counter.load(Ordering::Relaxed));
                Progress {
                    seen: local + cold,
                    done: cold,
                    failed: 0,
                }
            });
            !interrupted()
        },
        &|path, why| {
            add(&unreadable, 1);
            screen.failure(&Event::new("cannot look at", path).why(why));
        },
    );
    Ok(Summary {
        event: "summary",
        path: show(path),
        local_files: local.into_inner(),
        local_bytes: local_bytes.into_inner(),
        cold_files: cold.into_inner(),
        cold_bytes: cold_bytes.into_inner(),
        between_files: between.into_inner(),
        unreadable: unreadable.into_inner(),
    })
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} files local ({}), {} cold ({} in the store)",
            self.path,
            self.local_files,
            human(self.local_bytes),
            self.cold_files,
            human(self.cold_bytes)
        )?;
        if self.between_files > 0 {
            write!(f, ", {} on their way", self.between_files)?;
        }
        Ok(())
    }
}
