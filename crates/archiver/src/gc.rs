// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync gc`: finds objects that no file refers to, and deletes them.
//!
//! ```text
//! list -> old enough -> its own file, by gfid -> a batch of candidates
//! batch -> references: does any file name it? -> sightings: since when? -> its own file again -> delete
//! ```
//!
//! Every key contains its file's gfid, and our mount finds files by gfid, so most objects are decided by one lookup.
//! The remaining candidates are searched for in all files, with one crawl per batch. A file that cannot be read is not
//! proof of absence: nothing is deleted while a brick cannot be reached or a file cannot be read.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cloudsync_format::object::Key;
use cloudsync_store::{Archive, Listed, StoreError};
use serde::Serialize;

use crate::cli::{GcArgs, OutputFlags};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::lock::Lock;
use crate::remote;
use crate::report::{Event, Progress, Screen, human};
use crate::volume::Target;
use crate::volume::folder;
use crate::volume::mount::Mount;

mod judge;
mod references;
mod sightings;
mod snapshots;

use judge::{Judge, Verdict};
use references::Roots;
use sightings::Sightings;

/// Candidates held in memory, about 20 MB.
const BATCH: usize = 100_000;

/// The result of a run. The field names are the keys of the JSON output.
#[derive(Debug, Default, Serialize)]
struct Summary {
    event: &'static str,
    objects: u64,
    unreferenced: u64,
    unreferenced_bytes: u64,
    deleted: u64,
    /// Unreferenced, but not for the grace period.
    waiting: u64,
    /// Modified within the grace period, and therefore not examined.
    young: u64,
    unfinished_uploads: u64,
    failed: u64,
}

/// An object that its own file does not need; without a verdict if that could not be determined.
struct Candidate {
    key: String,
    size: u64,
    verdict: Option<Verdict>,
}

struct Collector<'a> {
    store: &'a dyn Archive,
    args: &'a GcArgs,
    screen: &'a Screen,
    judge: Judge<'a>,
    roots: Roots,
    sightings: Sightings,
    batch: Vec<Candidate>,
    summary: Summary,
}

/// Runs the command and prints its summary.
pub(crate) fn command(args: &GcArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let target = Target::find(&args.target)?;
    let volume = &target.volume;
    let store = remote::open(volume, &args.store)?;
    if args.delete {
        snapshots::check(volume, args)?;
    }
    let folder = args.state_dir.clone();
    let folder = folder.unwrap_or_else(|| folder::of(volume));
    let _lock = Lock::take(&folder)?;
    let sightings = Sightings::open(&folder)?;
    let mount = Mount::new(volume)?;
    let also: Vec<PathBuf> = args.also.iter().map(|also| also.path.clone()).collect();
    let mut collector = Collector {
        store: store.as_ref(),
        args,
        screen: &screen,
        judge: Judge::new(&mount, store.as_ref(), args.grace),
        roots: Roots::find(volume, &mount, &also)?,
        sightings,
        batch: Vec::new(),
        summary: Summary {
            event: "summary",
            ..Summary::default()
        },
    };
    if args.delete {
        collector
            .judge
            .all_bricks_there()
            .map_err(|why| Error::start("nothing is deleted", why))?;
    }
    let prefix = format!("{}/", volume.id);
    let place = |error: StoreError| Error::start(format!("volume {}", volume.name), error);
    let listed = collector.all(&prefix)?;
    let Collector {
        sightings,
        mut summary,
        ..
    } = collector;
    sightings.finish(listed.is_ok() && !interrupted())?;
    listed.map_err(place)?;
    let unfinished = store
        .unfinished(&prefix, args.grace, args.delete)
        .map_err(place)?;
    summary.unfinished_uploads = unfinished.len() as u64;
    for key in unfinished {
        screen.event(&Event::new("unfinished upload", Path::new(&key)));
    }
    let line = format!(
        "{} objects: {} unreferenced ({}), {} of them not for long enough; {} deleted, {} failed; \
         {} too young to be examined; {} unfinished uploads{}",
        summary.objects,
        summary.unreferenced,
        human(summary.unreferenced_bytes),
        summary.waiting,
        summary.deleted,
        summary.failed,
        summary.young,
        summary.unfinished_uploads,
        if args.delete { " removed" } else { "" }
    );
    screen.summary(&line, &summary);
    Ok(Ended::of(summary.failed > 0))
}

impl Collector<'_> {
    /// Examines every object. The inner result is the store's.
    fn all(&mut self, prefix: &str) -> Result<Result<(), StoreError>, Error> {
        let store = self.store;
        let mut failed = None;
        let listed = store.list(prefix, &mut |object| {
            self.examine(&object);
            if self.batch.len() >= BATCH
                && let Err(error) = self.settle()
            {
                failed = Some(error);
            }
            let Summary {
                objects,
                unreferenced,
                ..
            } = self.summary;
            self.screen.looking(|| Progress {
                seen: objects,
                done: unreferenced,
                failed: 0,
            });
            if interrupted() || failed.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        match failed {
            Some(error) => Err(error),
            None => self.settle().map(|()| listed),
        }
    }

    /// Adds a listed object to the batch if its own file does not need it.
    fn examine(&mut self, object: &Listed) {
        let Some(key) = Key::parse(&object.key) else {
            return;
        };
        self.summary.objects += 1;
        self.sightings.listed(&object.key);
        let age = SystemTime::now()
            .duration_since(object.modified)
            .unwrap_or_default();
        if age < self.args.grace {
            self.summary.young += 1;
            return;
        }
        let verdict = match self.judge.of(&object.key, key.gfid) {
            Ok(Verdict::Keep) => return,
            Ok(verdict) => Some(verdict),
            Err(why) => {
                self.failed("cannot judge", &object.key, &why);
                None
            }
        };
        self.batch.push(Candidate {
            key: object.key.clone(),
            size: object.size,
            verdict,
        });
    }

    /// Decides on every candidate of the batch, and empties the batch.
    fn settle(&mut self) -> Result<(), Error> {
        let batch = std::mem::take(&mut self.batch);
        let judged = batch.iter().filter(|one| one.verdict.is_some());
        let keys: HashSet<_> = judged.map(|one| one.key.clone()).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let unnamed = match self.unnamed(keys) {
            Ok(unnamed) => Some(unnamed),
            Err(why) => {
                let place = Path::new("all objects");
                let event = Event::new("nothing is deleted of", place).why(&why);
                self.screen.failure(&event);
                self.summary.failed += 1;
                None
            }
        };
        let keys: Vec<_> = batch.iter().map(|one| one.key.as_str()).collect();
        let since = self.sightings.of(&keys)?;
        let now = seconds();
        for candidate in &batch {
            let key = candidate.key.as_str();
            let before = since.get(key).copied();
            match (&unnamed, candidate.verdict) {
                (Some(unnamed), Some(verdict)) if unnamed.contains(key) => {
                    let since = before.unwrap_or(now);
                    if !self.unreferenced(candidate, verdict, since, now) {
                        self.sightings.note(since, key)?;
                    }
                }
                // Some file refers to it.
                (Some(_), Some(_)) => {}
                // Nothing is known in this run: keep the earlier sighting.
                _ => {
                    if let Some(since) = before {
                        self.sightings.note(since, key)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the keys that no file names, anywhere. An error means that it could not be determined.
    fn unnamed(&self, keys: HashSet<String>) -> Result<HashSet<String>, String> {
        if keys.is_empty() {
            return Ok(keys);
        }
        self.judge.all_bricks_there()?;
        let unnamed = self.roots.remove_named(keys)?;
        self.judge.all_bricks_there()?;
        Ok(unnamed)
    }

    /// Counts and prints an unreferenced object, and deletes it if due. Returns whether it was deleted.
    fn unreferenced(
        &mut self,
        candidate: &Candidate,
        verdict: Verdict,
        since: u64,
        now: u64,
    ) -> bool {
        let Candidate { key, size, .. } = candidate;
        self.summary.unreferenced += 1;
        self.summary.unreferenced_bytes += size;
        let seen = Duration::from_secs(now.saturating_sub(since));
        let due = seen >= self.args.grace;
        self.summary.waiting += u64::from(!due);
        let event = |what| {
            let why = match verdict.text() {
                text if due => text.to_owned(),
                text => format!(
                    "{text}, first seen {} ago",
                    humantime::format_duration(seen)
                ),
            };
            Event::new(what, Path::new(key)).bytes(*size).why(&why)
        };
        if !self.args.delete {
            self.screen.always(&event("unreferenced"));
            return false;
        }
        if !due || interrupted() {
            self.screen.event(&event("unreferenced"));
            return false;
        }
        match self.judge.delete(key, verdict) {
            Ok(()) => {
                self.summary.deleted += 1;
                self.screen.event(&event("deleted"));
                true
            }
            Err(why) => {
                self.failed("not deleted", key, &why);
                false
            }
        }
    }

    fn failed(&mut self, what: &str, key: &str, why: &str) {
        self.summary.failed += 1;
        let event = Event::new(what, Path::new(key)).why(why);
        self.screen.failure(&event);
    }
}

/// The current time, in seconds since the epoch.
fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
