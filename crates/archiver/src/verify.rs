// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync verify`: is every cold file's object there, and is it the file's?

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use cloudsync_format::object::Notes;
use cloudsync_store::checksum::Running;
use cloudsync_store::{Archive, Object, Sink, StoreError};
use serde::Serialize;

use crate::cli::{OutputFlags, VerifyArgs};
use crate::crawl::{Found, Marks, State, crawl, marks};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::parallel::parallel;
use crate::remote;
use crate::report::{Event, Progress, Screen, human};
use crate::volume::Target;

#[derive(Debug, Serialize)]
struct Summary {
    event: &'static str,
    checked: u64,
    bytes: u64,
    missing: u64,
    wrong: u64,
    not_checked: u64,
    without_checksum: u64,
}

/// Counters of a run.
#[derive(Debug, Default)]
struct Tally {
    checked: AtomicU64,
    bytes: AtomicU64,
    missing: AtomicU64,
    wrong: AtomicU64,
    not_checked: AtomicU64,
    without_checksum: AtomicU64,
}

fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

/// The command.
pub(crate) fn command(args: &VerifyArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let target = Target::find(&args.target)?;
    let store = remote::open(&target.volume, &args.store)?;
    let tally = Tally::default();
    let complain = |path: &Path, why: &str| {
        add(&tally.not_checked, 1);
        screen.failure(&Event::new("cannot look at", path).why(why));
    };
    parallel(
        args.jobs.into(),
        |give: &(dyn Fn(Found) -> bool + Sync)| {
            let each = |found: Found| {
                let cold = found.state != State::Local;
                (!cold || give(found)) && !interrupted()
            };
            crawl(&target, &each, &complain);
        },
        &|found| one(store.as_ref(), &found, args.deep, &tally, &screen),
    );
    let Tally {
        checked,
        bytes,
        missing,
        wrong,
        not_checked,
        without_checksum,
    } = tally;
    let summary = Summary {
        event: "summary",
        checked: checked.into_inner(),
        bytes: bytes.into_inner(),
        missing: missing.into_inner(),
        wrong: wrong.into_inner(),
        not_checked: not_checked.into_inner(),
        without_checksum: without_checksum.into_inner(),
    };
    let mut line = format!(
        "{} cold files, {}: {} missing, {} wrong, {} could not be checked",
        summary.checked,
        human(summary.bytes),
        summary.missing,
        summary.wrong,
        summary.not_checked
    );
    if summary.without_checksum > 0 {
        line += &format!(", {} have no checksum", summary.without_checksum);
    }
    screen.summary(&line, &summary);
    Ok(Ended::of(
        summary.missing + summary.wrong + summary.not_checked > 0,
    ))
}

fn one(store: &dyn Archive, found: &Found, deep: bool, tally: &Tally, screen: &Screen) {
    let say = |counter: &AtomicU64, what: &str, key: &str, why: &str| {
        add(counter, 1);
        screen.failure(&Event::new(what, &found.path).key(key).why(why));
    };
    let marks = match marks(&found.at) {
        Ok(Some(marks)) => marks,
        // Recalled in between.
        Ok(None) => return,
        Err(error) => return say(&tally.not_checked, "cannot look at", "", &error.to_string()),
    };
    add(&tally.checked, 1);
    add(&tally.bytes, found.size);
    let key = marks.key.as_str();
    match check(store, found, &marks, deep) {
        Ok(with_checksum) => {
            add(&tally.without_checksum, u64::from(!with_checksum));
            screen.event(&Event::new("good", &found.path).bytes(found.size).key(key));
        }
        Err(Bad::Wrong(why)) => say(&tally.wrong, "WRONG", key, &why),
        Err(Bad::Store(StoreError::Missing(why))) => say(&tally.missing, "MISSING", key, &why),
        Err(Bad::Store(error @ (StoreError::Corrupt(_) | StoreError::Changed(_)))) => {
            say(&tally.wrong, "WRONG", key, &error.to_string());
        }
        Err(Bad::Store(error)) => say(&tally.not_checked, "not checked", key, &error.to_string()),
    }
    screen.looking(|| {
        let checked = tally.checked.load(Ordering::Relaxed);
        Progress {
            seen: checked,
            done: checked,
            failed: 0,
        }
    });
}

enum Bad {
    Wrong(String),
    Store(StoreError),
}

impl From<StoreError> for Bad {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Whether the object has a checksum, when it is the file's.
fn check(store: &dyn Archive, found: &Found, marks: &Marks, deep: bool) -> Result<bool, Bad> {
    let (object, metadata) = store.describe(&marks.key)?;
    if object.size != found.size {
        let (theirs, ours) = (object.size, found.size);
        return Err(Bad::Wrong(format!(
            "the object has {theirs} bytes, the file {ours}"
        )));
    }
    if let Some(etag) = object.etag.as_ref().filter(|_| !marks.version.is_empty())
        && *etag != marks.version
    {
        let version = &marks.version;
        return Err(Bad::Wrong(format!(
            "the object is version {etag}, the file was archived as {version}"
        )));
    }
    if let Some(notes) = Notes::of_metadata(&metadata)
        && notes.size != found.size
    {
        return Err(Bad::Wrong(
            "what is written beside the object is of another file".to_owned(),
        ));
    }
    if deep {
        fetch(store, &marks.key, &object)?;
    }
    Ok(object.checksum.is_some())
}

/// Takes every byte and keeps none.
struct Summing(Option<Running>);

impl Sink for Summing {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if let Some(running) = &mut self.0 {
            running.update(bytes);
        }
        Ok(())
    }

    fn cancelled(&self) -> bool {
        interrupted()
    }
}

fn fetch(store: &dyn Archive, key: &str, object: &Object) -> Result<(), StoreError> {
    let mut sink = Summing(object.checksum.map(|checksum| checksum.verify()));
    if object.size > 0 {
        store.fetch(key, object, 0..object.size, &mut sink)?;
    }
    let proven = sink.0.map_or(Ok(()), Running::finish);
    proven.map_err(|mismatch| StoreError::Corrupt(mismatch.to_string()))
}
