// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync restore`: asks the store to restore the objects of all cold files below some paths, many at once, and waits for
//! them if told to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cloudsync_store::StoreError;
use cloudsync_store::restores::{Restored, Speed, Wanted};
use serde::Serialize;

use crate::cli::{OutputFlags, RestoreArgs, Tier};
use crate::crawl::{Found, State, crawl, marks};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::outage::{Outage, ending};
use crate::parallel::{add, lock, parallel};
use crate::remote::Stores;
use crate::report::{Event, Progress, Screen, human};
use crate::volume::Target;

mod pending;

use pending::{Pause, Pending};

/// The result of a run. The field names are the keys of the JSON output.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    event: &'static str,
    dry_run: bool,
    cold: u64,
    asked: u64,
    asked_bytes: u64,
    under_way: u64,
    back: u64,
    not_needed: u64,
    failed: u64,
    stopped: Option<String>,
}

/// Counters of a run. With `--wait`, an object moves from `asked` or `under_way` to `back`.
#[derive(Debug, Default)]
struct Tally {
    cold: AtomicU64,
    asked: AtomicU64,
    asked_bytes: AtomicU64,
    under_way: AtomicU64,
    back: AtomicU64,
    not_needed: AtomicU64,
    failed: AtomicU64,
}

/// Runs the command and prints its summary.
pub(crate) fn command(args: &RestoreArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output).about("cold files", "asked for or back");
    let (summary, ended) = run(args, &screen)?;
    screen.summary(&summary.to_string(), &summary);
    Ok(ended)
}

/// Asks for the objects of all cold files below the paths.
pub(crate) fn run(args: &RestoreArgs, screen: &Screen) -> Result<(Summary, Ended), Error> {
    let wanted = Wanted {
        days: args.days,
        speed: args.tier.map(|tier| match tier {
            Tier::Standard => Speed::Standard,
            Tier::Bulk => Speed::Bulk,
            Tier::Expedited => Speed::Expedited,
        }),
    };
    let targets: Vec<_> = args.paths.iter().map(|path| Target::find(path)).collect();
    let targets = targets.into_iter().collect::<Result<Vec<_>, _>>()?;
    let (tally, outage) = (Tally::default(), Outage::default());
    let open = |target: &Target| Stores::open(&target.volume, &args.store);
    let stores = targets.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let file = |error| Error::start("a temporary file", error);
    let mut restorers = Vec::new();
    for (target, store) in targets.iter().zip(&stores) {
        let has_some = |name: Option<String>| {
            let store = store.of(name.as_deref());
            store.is_ok_and(|store| store.restores().is_some())
        };
        if !store.all().into_iter().any(has_some) {
            let why = "its store has no objects that this program could restore";
            return Err(Error::start(format!("volume {}", target.volume.name), why));
        }
        restorers.push(Restorer {
            stores: store,
            wanted: (!args.dry_run).then_some(&wanted),
            pending: if args.wait && !args.dry_run {
                Some(Mutex::new(Pending::new().map_err(file)?))
            } else {
                None
            },
            troubled: AtomicBool::new(false),
            tally: &tally,
            outage: &outage,
            screen,
        });
    }
    // All are asked for before one is waited for.
    for (target, restorer) in targets.iter().zip(&restorers) {
        restorer.ask_for_all(target, args.jobs);
    }
    for restorer in &restorers {
        restorer.wait(args.jobs).map_err(file)?;
    }
    let summary = summary(&tally, args.dry_run, outage.why());
    let ended = Ended::of(summary.failed > 0).or_early(summary.stopped.is_some());
    Ok((summary, ended))
}

fn summary(tally: &Tally, dry_run: bool, stopped: Option<String>) -> Summary {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Summary {
        event: "summary",
        dry_run,
        cold: get(&tally.cold),
        asked: get(&tally.asked),
        asked_bytes: get(&tally.asked_bytes),
        under_way: get(&tally.under_way),
        back: get(&tally.back),
        not_needed: get(&tally.not_needed),
        failed: get(&tally.failed),
        stopped,
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cold files: {} {} ({}), {} already under way, {} back, {} need no restore, {} failed{}",
            self.cold,
            if self.dry_run {
                "would ask for"
            } else {
                "asked for"
            },
            self.asked,
            human(self.asked_bytes),
            self.under_way,
            self.back,
            self.not_needed,
            self.failed,
            ending(self.stopped.as_deref())
        )
    }
}

/// An object that a cold file needs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Object {
    path: PathBuf,
    /// The name of the store that has it; `None`: the volume's own.
    store: Option<String>,
    key: String,
    bytes: u64,
    /// Asked for by this run, and not by an earlier one.
    ours: bool,
}

struct Restorer<'a> {
    stores: &'a Stores,
    /// `None`: a dry run.
    wanted: Option<&'a Wanted>,
    /// The objects to wait for.
    pending: Option<Mutex<Pending>>,
    /// The store was away in this round, and that was said.
    troubled: AtomicBool,
    tally: &'a Tally,
    outage: &'a Outage,
    screen: &'a Screen,
}

impl Restorer<'_> {
    /// Asks for the objects of all cold files of the target.
    fn ask_for_all(&self, target: &Target, jobs: u16) {
        let report_error = |path: &Path, why: &str| self.fails(path, "", why);
        parallel(
            jobs,
            |give: &(dyn Fn(Found) -> bool + Sync)| {
                let each = |found: Found| {
                    let cold = found.state != State::Local;
                    (!cold || give(found)) && !self.ends()
                };
                crawl(target, &each, &report_error);
            },
            &|found| self.ask(found),
        );
    }

    fn ends(&self) -> bool {
        interrupted() || self.outage.is_over()
    }

    fn fails(&self, path: &Path, key: &str, why: &str) {
        add(&self.tally.failed, 1);
        let event = Event::new("failed", path).why(why);
        let event = if key.is_empty() {
            event
        } else {
            event.key(key)
        };
        self.screen.failure(&event);
    }

    fn ask(&self, found: Found) {
        // Found before the run began to stop.
        if self.ends() {
            return;
        }
        let marks = match marks(&found.at) {
            Ok(Some(marks)) => marks,
            // Recalled since it was crawled.
            Ok(None) => return,
            Err(error) => return self.fails(&found.path, "", &error.to_string()),
        };
        let tally = self.tally;
        add(&tally.cold, 1);
        let object = Object {
            path: found.path,
            store: marks.store().map(str::to_owned),
            key: marks.key,
            bytes: found.size,
            ours: true,
        };
        let event = |what| {
            Event::new(what, &object.path)
                .bytes(object.bytes)
                .key(&object.key)
        };
        match self.restore(&object, self.wanted) {
            Ok(restored) => {
                self.outage.succeeded();
                match restored {
                    Restored::Archived => {
                        add(&tally.asked, 1);
                        add(&tally.asked_bytes, object.bytes);
                        match self.wanted {
                            None => self.screen.always(&event("would ask for")),
                            Some(_) => self.screen.event(&event("asked for")),
                        }
                        self.wait_for(object);
                    }
                    Restored::UnderWay => {
                        add(&tally.under_way, 1);
                        self.screen.event(&event("under way"));
                        self.wait_for(Object {
                            ours: false,
                            ..object
                        });
                    }
                    Restored::Back => {
                        add(&tally.back, 1);
                        self.screen.event(&event("back"));
                    }
                    Restored::NotNeeded => {
                        add(&tally.not_needed, 1);
                        self.screen.event(&event("needs no restore"));
                    }
                }
            }
            Err(error) => self.refused(&object, &error),
        }
        self.screen.looking(|| {
            let now = summary(tally, false, None);
            Progress {
                seen: now.cold,
                done: now.asked + now.under_way + now.back + now.not_needed,
                failed: now.failed,
            }
        });
    }

    /// Asks the object's store. One without such objects has it ready to be read.
    fn restore(&self, object: &Object, wanted: Option<&Wanted>) -> Result<Restored, StoreError> {
        let store = self.stores.of(object.store.as_deref());
        let store = store.map_err(StoreError::Other)?;
        match store.restores() {
            Some(restores) => restores.restore(&object.key, wanted),
            None => Ok(Restored::NotNeeded),
        }
    }

    /// The store's error.
    fn refused(&self, object: &Object, error: &StoreError) {
        // JSON output reports every failed file, even those that fail because the run is stopping.
        if self.outage.failed(error) || self.screen.wants_json() {
            self.fails(&object.path, &object.key, &error.to_string());
        } else {
            add(&self.tally.failed, 1);
        }
    }

    fn wait_for(&self, object: Object) {
        let Some(pending) = &self.pending else {
            return;
        };
        if let Err(error) = lock(pending).add(&object) {
            let why = format!("it cannot be waited for: a temporary file: {error}");
            self.fails(&object.path, &object.key, &why);
        }
    }

    /// Waits until every object that was asked for, or was under way, can be read.
    fn wait(&self, jobs: u16) -> std::io::Result<()> {
        let Some(pending) = &self.pending else {
            return Ok(());
        };
        let mut pause = Pause::default();
        let (files, bytes) = lock(pending).total();
        if files > 0 {
            self.screen.expect(files, bytes);
        }
        while !lock(pending).is_empty() && !self.ends() {
            if !pause.rest(&|| self.ends()) {
                return Ok(());
            }
            self.troubled.store(false, Ordering::Relaxed);
            let round = std::mem::replace(&mut *lock(pending), Pending::new()?);
            parallel(
                jobs,
                |give: &(dyn Fn(Object) -> bool + Sync)| {
                    round.each(|object| give(object) && !self.ends())
                },
                &|object| self.look(object, pause.has_just_begun()),
            )?;
        }
        Ok(())
    }

    /// Whether an object is back by now; if not, it is waited for again.
    fn look(&self, object: Object, soon: bool) {
        if self.ends() {
            return;
        }
        let tally = self.tally;
        match self.restore(&object, None) {
            Ok(Restored::Back | Restored::NotNeeded) => {
                self.outage.succeeded();
                if object.ours {
                    tally.asked.fetch_sub(1, Ordering::Relaxed);
                    tally.asked_bytes.fetch_sub(object.bytes, Ordering::Relaxed);
                } else {
                    tally.under_way.fetch_sub(1, Ordering::Relaxed);
                }
                add(&tally.back, 1);
                let event = Event::new("back", &object.path).bytes(object.bytes);
                self.screen.event(&event.key(&object.key));
                self.screen.advance(object.bytes, || Progress {
                    seen: tally.cold.load(Ordering::Relaxed),
                    done: tally.back.load(Ordering::Relaxed),
                    failed: tally.failed.load(Ordering::Relaxed),
                });
            }
            Ok(restored) if restored == Restored::UnderWay || soon => {
                self.outage.succeeded();
                self.wait_for(object);
            }
            Ok(_) => {
                let why =
                    "its restore has ended, and it still cannot be read: the copy may have expired";
                self.fails(&object.path, &object.key, why);
            }
            // The restore goes on meanwhile, and is paid for: a line that was down for a while ends no wait of days.
            Err(error @ (StoreError::Unreachable(_) | StoreError::Throttled(_))) => {
                if !self.troubled.swap(true, Ordering::Relaxed) {
                    tracing::warn!("{}: {error}; it is asked again later", object.key);
                }
                self.wait_for(object);
            }
            Err(error) => self.refused(&object, &error),
        }
    }
}
