// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync status`: shows a file's state, or counts a tree's files by state.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::cli::{OutputFlags, StatusArgs};
use crate::crawl::{Answer, State, ask, crawl, kept, show};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::recall::why;
use crate::report::{Event, Progress, Screen, human};
use crate::volume::{Kind, Target};

/// The status of one file. The field names are the keys of the JSON output.
#[derive(Debug, Serialize)]
struct Status {
    event: &'static str,
    path: String,
    state: String,
    bytes: u64,
    mtime: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The name of the store that has the object, unless it is the volume's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kept: Vec<KeptObject>,
}

/// An object that a file was archived as before bytes that no recall wrote were found in it.
#[derive(Debug, Serialize)]
pub(crate) struct KeptObject {
    pub(crate) key: String,
    /// The name of the store that has it, unless it is the volume's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<String>,
    pub(crate) bytes: u64,
    /// When the bytes were found, in seconds since the epoch.
    pub(crate) found: u64,
}

impl KeptObject {
    /// Reads the kept objects of a file, in a mount or on a brick.
    pub(crate) fn all(at: &Path) -> io::Result<Vec<Self>> {
        let all = kept(at)?.into_iter().map(|kept| Self {
            key: kept.key,
            store: kept.store,
            bytes: kept.size,
            found: kept.seconds,
        });
        Ok(all.collect())
    }
}

impl fmt::Display for KeptObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            store,
            bytes,
            found,
        } = self;
        let store = store.as_ref();
        let store = store.map_or_else(String::new, |store| format!(" in store '{store}'"));
        let found = i64::try_from(*found).map_or_else(|_| String::new(), age);
        write!(f, "object {key}{store}, {}, since {found}", human(*bytes))
    }
}

/// Counts of one tree. The field names are the keys of the JSON output.
#[derive(Debug, Serialize)]
struct Summary {
    event: &'static str,
    path: String,
    local_files: u64,
    local_bytes: u64,
    cold_files: u64,
    cold_bytes: u64,
    between_files: u64,
    kept_files: u64,
    unreadable: u64,
}

/// Runs the command.
pub(crate) fn command(args: &StatusArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output).about("files", "cold");
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
            "not a regular file; use --summary for directories",
        ));
    }
    let Answer {
        state,
        key,
        store,
        kept,
        ..
    } = Answer::parse(&ask(path)?);
    Ok(Status {
        event: "status",
        path: show(path),
        state,
        bytes: data.len(),
        mtime: data.mtime(),
        key,
        store,
        kept: if kept > 0 {
            KeptObject::all(path)?
        } else {
            Vec::new()
        },
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
        if let Some(key) = &self.key {
            write!(f, ", object {key}")?;
        }
        if let Some(store) = &self.store {
            write!(f, " in store '{store}'")?;
        }
        if !self.kept.is_empty() {
            let objects: Vec<_> = self.kept.iter().map(KeptObject::to_string).collect();
            write!(
                f,
                "\n{}: bytes that no recall wrote were found in it and kept; before, it was archived as {}",
                self.path,
                objects.join("; ")
            )?;
        }
        Ok(())
    }
}

/// Formats the time since then, rounded down to a suitable unit.
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
    let [
        local,
        local_bytes,
        cold,
        cold_bytes,
        between,
        kept_files,
        unreadable,
    ] = [const { AtomicU64::new(0) }; 7];
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
            let on_brick = || kept(&found.at).is_ok_and(|kept| !kept.is_empty());
            if found.kept || (target.kind == Kind::Brick && on_brick()) {
                add(&kept_files, 1);
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
            screen.failure(&Event::new("cannot check", path).why(why));
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
        kept_files: kept_files.into_inner(),
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
            write!(f, ", {} being recalled or archived", self.between_files)?;
        }
        if self.kept_files > 0 {
            write!(
                f,
                ", {} with bytes that no recall wrote (cloudsync kept)",
                self.kept_files
            )?;
        }
        Ok(())
    }
}
