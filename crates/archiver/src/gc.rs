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
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use cloudsync_format::object::Key;
use cloudsync_store::{Archive, Listed, StoreError};
use serde::Serialize;

use crate::cli::{GcArgs, OutputFlags};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::lock::Lock;
use crate::outage::{Outage, Trouble, ending};
use crate::parallel::{AUTO, lock, parallel};
use crate::remote::{Stores, apart};
use crate::report::{Event, Progress, Screen, human};
use crate::volume::Target;
use crate::volume::folder;
use crate::volume::mount::Mount;

mod due;
mod here;
mod judge;
mod references;
mod sightings;
pub(crate) mod snapshots;

use due::Unreferenced;
use here::Here;
use judge::{Judge, Verdict};
use references::Roots;
use sightings::Sightings;

/// Candidates held in memory, about 20 MB.
const BATCH: usize = 100_000;

/// The result of a run. The field names are the keys of the JSON output.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    event: &'static str,
    /// Whether it deletes.
    #[serde(skip)]
    delete: bool,
    objects: u64,
    unreferenced: u64,
    unreferenced_bytes: u64,
    deleted: u64,
    /// Deleted, but kept by the store as a hidden version.
    hidden: u64,
    /// Unreferenced, but not for the grace period.
    waiting: u64,
    /// Modified within the grace period, and therefore not examined.
    young: u64,
    unfinished_uploads: u64,
    failed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
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
    mount: &'a Mount,
    judge: Judge<'a>,
    roots: Roots,
    sightings: Mutex<Sightings>,
    batch: Mutex<Vec<Candidate>>,
    outage: &'a Outage,
    summary: Mutex<Summary>,
}

/// Runs the command and prints its summary.
pub(crate) fn command(args: &GcArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output).about("objects", "unreferenced");
    let (summary, ended) = run(args, &screen)?;
    screen.summary(&summary.to_string(), &summary);
    Ok(ended)
}

/// Finds the volume's unreferenced objects, and deletes them if told to.
pub(crate) fn run(args: &GcArgs, screen: &Screen) -> Result<(Summary, Ended), Error> {
    let target = Target::find(&args.target)?;
    let volume = &target.volume;
    let (all, store) = Stores::with_choice(volume, &args.store)?;
    let name = args.store.name();
    if args.delete {
        snapshots::check(volume, args)?;
    }
    // Who makes files of objects has it, too, and who moves objects.
    let _lock = Lock::take(&folder::of(volume))?;
    let folder = args.state_dir.clone();
    let folder = folder.unwrap_or_else(|| folder::of(volume));
    // Two stores may have objects of the same key.
    let of_store = name.map_or_else(|| folder.clone(), |name| folder.join("stores").join(name));
    if args.delete {
        apart::from_others(volume, &all, name, &all.all())?;
    }
    let here = Here::new(name, store.as_ref(), &all);
    let sightings = Sightings::open(&of_store, args.fresh)?;
    let mount = Mount::new(volume)?;
    let also: Vec<PathBuf> = args.also.iter().map(|also| also.path.clone()).collect();
    let outage = Outage::default();
    let collector = Collector {
        store: store.as_ref(),
        args,
        screen,
        mount: &mount,
        judge: Judge {
            mount: &mount,
            here: &here,
            outage: &outage,
            touched: judge::TOUCHED.min(args.grace),
        },
        roots: Roots::find(volume, &mount, &also)?,
        sightings: Mutex::new(sightings),
        batch: Mutex::default(),
        outage: &outage,
        summary: Mutex::new(Summary {
            event: "summary",
            delete: args.delete,
            ..Summary::default()
        }),
    };
    if args.delete {
        mount
            .with_all_bricks(|| ())
            .map_err(|why| Error::start("nothing is deleted", why))?;
    }
    let prefix = format!("{}/", volume.id);
    let place = |error: StoreError| Error::start(format!("volume {}", volume.name), error);
    let listed = collector.all(&prefix)?;
    let Collector {
        sightings, summary, ..
    } = collector;
    let sightings = sightings.into_inner();
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    let sightings = sightings.unwrap_or_else(PoisonError::into_inner);
    summary.stopped = outage.why();
    let whole = listed.is_ok() && !interrupted() && summary.stopped.is_none();
    sightings.finish(whole)?;
    listed.map_err(place)?;
    let unfinished = match summary.stopped {
        None => store.unfinished(&prefix, args.grace, args.delete),
        Some(_) => Ok(Vec::new()),
    };
    let unfinished = unfinished.map_err(place)?;
    summary.unfinished_uploads = unfinished.len() as u64;
    summary.hidden = store.hidden();
    for key in unfinished {
        screen.event(&Event::new("unfinished upload", Path::new(&key)));
    }
    let ended = Ended::of(summary.failed > 0).or_early(summary.stopped.is_some());
    Ok((summary, ended))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} objects: {} unreferenced ({}), {} of them not for long enough; {} deleted, {} failed; \
             {} too young to be examined; {} unfinished uploads{}",
            self.objects,
            self.unreferenced,
            human(self.unreferenced_bytes),
            self.waiting,
            self.deleted,
            self.failed,
            self.young,
            self.unfinished_uploads,
            if self.delete { " removed" } else { "" }
        )?;
        if self.hidden > 0 {
            write!(
                f,
                "; the bucket keeps hidden versions of {} deleted objects: a lifecycle rule of the bucket removes them, and \
                 versions=delete in cloudsync-store-id keeps later runs from leaving any",
                self.hidden
            )?;
        }
        f.write_str(&ending(self.stopped.as_deref()))
    }
}

impl Collector<'_> {
    /// Examines every object. The inner result is the store's.
    fn all(&self, prefix: &str) -> Result<Result<(), StoreError>, Error> {
        let list = |give: &(dyn Fn(Listed) -> bool + Sync)| {
            let mut settled = Ok(());
            let listed = self.store.list(prefix, &mut |object| {
                let examined = self.is_old_enough(&object) && !give(object);
                if lock(&self.batch).len() >= BATCH {
                    settled = self.settle();
                }
                self.show();
                if examined || self.stops() || settled.is_err() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            settled.map(|()| listed)
        };
        let listed = parallel(AUTO, list, &|object| self.examine(&object))?;
        self.settle().map(|()| listed)
    }

    fn stops(&self) -> bool {
        interrupted() || self.outage.is_over()
    }

    fn show(&self) {
        let summary = lock(&self.summary);
        let (seen, done) = (summary.objects, summary.unreferenced);
        drop(summary);
        self.screen.looking(|| Progress {
            seen,
            done,
            failed: 0,
        });
    }

    /// Counts a listed object. Returns whether it is one of cloudsync's, and old enough to be examined.
    fn is_old_enough(&self, object: &Listed) -> bool {
        if Key::parse(&object.key).is_none() {
            return false;
        }
        lock(&self.sightings).listed(&object.key);
        let age = SystemTime::now()
            .duration_since(object.modified)
            .unwrap_or_default();
        let young = age < self.args.grace;
        let mut summary = lock(&self.summary);
        summary.objects += 1;
        summary.young += u64::from(young);
        !young
    }

    /// Adds an object to the batch if its own file does not need it.
    fn examine(&self, object: &Listed) {
        let Some(key) = Key::parse(&object.key) else {
            return;
        };
        let verdict = match self.judge.of(&object.key, key.gfid) {
            Ok(Verdict::Keep) => return,
            Ok(verdict) => Some(verdict),
            Err(why) => {
                self.failed("cannot judge", &object.key, &why);
                None
            }
        };
        lock(&self.batch).push(Candidate {
            key: object.key.clone(),
            size: object.size,
            verdict,
        });
    }

    /// Decides on every candidate of the batch, and empties the batch.
    fn settle(&self) -> Result<(), Error> {
        let batch = std::mem::take(&mut *lock(&self.batch));
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
                lock(&self.summary).failed += 1;
                None
            }
        };
        let keys: Vec<_> = batch.iter().map(|one| one.key.as_str()).collect();
        let since = lock(&self.sightings).of(&keys)?;
        let now = seconds();
        // Those that no file refers to, and since when.
        let mut unreferenced = Vec::new();
        for candidate in &batch {
            let key = candidate.key.as_str();
            let before = since.get(key).copied();
            match (&unnamed, candidate.verdict) {
                (Some(unnamed), Some(verdict)) if unnamed.contains(key) => {
                    unreferenced.push(Unreferenced {
                        candidate,
                        verdict,
                        since: before.unwrap_or(now),
                    });
                }
                // Some file refers to it.
                (Some(_), Some(_)) => {}
                // Nothing is known in this run: keep the earlier sighting.
                _ => {
                    if let Some(since) = before {
                        lock(&self.sightings).note(since, key)?;
                    }
                }
            }
        }
        self.unreferenced(unreferenced, now)
    }

    /// Returns the keys that no file names, anywhere. An error means that it could not be determined.
    fn unnamed(&self, keys: HashSet<String>) -> Result<HashSet<String>, String> {
        if keys.is_empty() {
            return Ok(keys);
        }
        self.mount
            .with_all_bricks(|| self.roots.remove_named(keys, self.judge.here))?
    }

    fn failed(&self, what: &str, key: &str, trouble: &Trouble) {
        lock(&self.summary).failed += 1;
        // JSON output reports every object, even those that fail because the run is stopping.
        if self.outage.counts(trouble) || self.screen.wants_json() {
            let event = Event::new(what, Path::new(key)).why(&trouble.to_string());
            self.screen.failure(&event);
        }
    }
}

/// The current time, in seconds since the epoch.
fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
