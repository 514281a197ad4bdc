// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync gc`: objects that no file refers to.
//!
//! ```text
//! list -> old enough -> its own file, by gfid -> a batch of candidates
//! batch -> references: does any file name it? -> sightings: since when? -> its own file again -> delete
//! ```
//!
//! Every object names its file by gfid, and our mount shows files by gfid, so most objects take one question. Only what
//! then looks unreferenced is looked for in all files, one crawl for each batch. What cannot be seen is not gone:
//! nothing is deleted while a brick is out of reach or a file cannot be read.

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

/// Candidates in memory: about 20 MB.
const BATCH: usize = 100_000;

#[derive(Debug, Default, Serialize)]
struct Summary {
    event: &'static str,
    objects: u64,
    unreferenced: u64,
    unreferenced_bytes: u64,
    deleted: u64,
    /// Not unreferenced for long enough.
    waiting: u64,
    young: u64,
    unfinished_uploads: u64,
    failed: u64,
}

/// An object that its own file does not need, or (without a verdict) of which that could not be learnt.
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

/// The command.
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
         {} too young to be judged; {} unfinished uploads{}",
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
    /// Looks at every object. The inner result is the store's.
    fn all(&mut self, prefix: &str) -> Result<Result<(), StoreError>, Error> {
        let store = self.store;
        let mut failed = None;
        let listed = store.list(prefix, &mut |object| {
            self.look(&object);
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

    fn look(&mut self, object: &Listed) {
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

    /// Does what is to be done with the candidates so far.
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
                // A file names it.
                (Some(_), Some(_)) => {}
                // Nothing new is known.
                _ => {
                    if let Some(since) = before {
                        self.sightings.note(since, key)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Those of `keys` that no file names, anywhere.
    fn unnamed(&self, keys: HashSet<String>) -> Result<HashSet<String>, String> {
        if keys.is_empty() {
            return Ok(keys);
        }
        self.judge.all_bricks_there()?;
        let unnamed = self.roots.strike(keys)?;
        self.judge.all_bricks_there()?;
        Ok(unnamed)
    }

    /// Whether it is deleted now.
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
                    "{text}, seen first {} ago",
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

fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
