// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync verify`: checks that every cold file's object exists, and that it holds the file.
//!
//! With `--adopt`, an object of another version than recorded that holds the file becomes the file's: the translator
//! checks it again and records the new version.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use cloudsync_format::claim::Time;
use cloudsync_format::{command, stores};
use cloudsync_store::StoreError;
use serde::Serialize;

use crate::archive::{bytes_per_second, seen};
use crate::cli::{OutputFlags, VerifyArgs};
use crate::crawl::{Found, gfid, marks, text};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::outage::{Outage, ending};
use crate::parallel::{add, lock, parallel};
use crate::recall::why;
use crate::remote::Stores;
use crate::report::{self, Event, Screen, human};
use crate::volume::Target;
use crate::volume::mount::Mount;

mod progress;
mod proof;

use progress::{Item, Progress};
use proof::{Bad, Deep, File, Good};

/// The result of a run. The field names are the keys of the JSON output.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    event: &'static str,
    checked: u64,
    bytes: u64,
    missing: u64,
    wrong: u64,
    not_checked: u64,
    without_checksum: u64,
    other_version: u64,
    adopted: u64,
    /// How many files were checked in which store.
    stores: BTreeMap<String, u64>,
    /// Folders that an earlier run has checked, whose end this is.
    before: u64,
    stopped: Option<String>,
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
    other_version: AtomicU64,
    adopted: AtomicU64,
    /// By the name of the store.
    stores: Mutex<BTreeMap<String, u64>>,
}

/// Runs the command and prints its summary.
pub(crate) fn command(args: &VerifyArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output).about("objects", "checked");
    let (summary, ended) = run(args, &screen)?;
    screen.summary(&summary.to_string(), &summary);
    Ok(ended)
}

/// Checks the objects of all cold files of the target.
pub(crate) fn run(args: &VerifyArgs, screen: &Screen) -> Result<(Summary, Ended), Error> {
    let target = Target::find(&args.target)?;
    let stores = Stores::open(&target.volume, &args.store)?;
    let rate = args.bytes_per_second.map(bytes_per_second);
    let rate = rate.as_deref();
    let verifier = Verifier {
        target: &target,
        stores: &stores,
        deep: args.deep.then_some(Deep { rate }),
        adopt: args.adopt,
        mount: Mount::new(&target.volume).map_err(|error| error.to_string()),
        tally: Tally::default(),
        outage: Outage::default(),
        screen,
    };
    let (tally, outage) = (&verifier.tally, &verifier.outage);
    let report_error = |path: &Path, why: &str| {
        add(&tally.not_checked, 1);
        screen.failure(&Event::new("cannot check", path).why(why));
    };
    let progress = Progress::open(&target, args)?;
    let before = progress.before();
    parallel::<Item<'_>, ()>(
        args.jobs,
        |give| {
            let go_on = || !interrupted() && !outage.is_over();
            progress.each_part(&target, give, &go_on, &report_error);
        },
        // What was not found to be good is looked at again by a run that goes on.
        &|(found, part)| {
            let _guard = part.unless_panicking();
            if !verifier.one(&found) {
                part.spoil();
            }
        },
    );
    let stopped = verifier.outage.why();
    if stopped.is_none() && !interrupted() {
        progress.end();
    }
    let Tally {
        checked,
        bytes,
        missing,
        wrong,
        not_checked,
        without_checksum,
        other_version,
        adopted,
        stores,
    } = verifier.tally;
    let summary = Summary {
        event: "summary",
        checked: checked.into_inner(),
        bytes: bytes.into_inner(),
        missing: missing.into_inner(),
        wrong: wrong.into_inner(),
        not_checked: not_checked.into_inner(),
        without_checksum: without_checksum.into_inner(),
        other_version: other_version.into_inner(),
        adopted: adopted.into_inner(),
        stores: stores.into_inner().unwrap_or_else(PoisonError::into_inner),
        before,
        stopped,
    };
    let any_bad = summary.missing + summary.wrong + summary.not_checked > 0;
    let ended = Ended::of(any_bad).or_early(summary.stopped.is_some());
    Ok((summary, ended))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cold files, {}: {} missing, {} wrong, {} could not be checked",
            self.checked,
            human(self.bytes),
            self.missing,
            self.wrong,
            self.not_checked
        )?;
        if self.without_checksum > 0 {
            write!(f, ", {} have no checksum", self.without_checksum)?;
        }
        if self.other_version > 0 {
            write!(
                f,
                ", {} are good in another version ({} adopted)",
                self.other_version, self.adopted
            )?;
        }
        if self.stores.keys().any(|name| name != stores::OWN) {
            let counts = self.stores.iter();
            let counts = counts.map(|(name, files)| format!("{files} in store '{name}'"));
            write!(f, "; {}", counts.collect::<Vec<_>>().join(", "))?;
        }
        if self.before > 0 {
            write!(f, "; {} folders were good before it went on", self.before)?;
        }
        f.write_str(&ending(self.stopped.as_deref()))
    }
}

struct Verifier<'a> {
    target: &'a Target,
    stores: &'a Stores,
    deep: Option<Deep<'a>>,
    adopt: bool,
    /// The error is reported only when the mount is needed.
    mount: Result<Mount, String>,
    tally: Tally,
    outage: Outage,
    screen: &'a Screen,
}

impl Verifier<'_> {
    /// Checks a file's object. Returns whether it is good, or the file is cold no more.
    fn one(&self, found: &Found) -> bool {
        // Found before the run began to stop.
        if interrupted() || self.outage.is_over() {
            return false;
        }
        let Tally {
            missing,
            wrong,
            not_checked,
            ..
        } = &self.tally;
        let report = |counter: &AtomicU64, what: &str, key: &str, why: &str| {
            add(counter, 1);
            self.screen
                .failure(&Event::new(what, &found.path).key(key).why(why));
            false
        };
        let read = marks(&found.at).and_then(|marks| Ok((marks, gfid(self.target, &found.at)?)));
        let (marks, gfid) = match read {
            Ok((Some(marks), gfid)) => (marks, gfid),
            // Recalled since it was crawled.
            Ok((None, _)) => return true,
            Err(error) => return report(not_checked, "cannot check", "", &error.to_string()),
        };
        let key = marks.key.as_str();
        let file = File {
            size: found.size,
            gfid: &gfid,
            volume: &self.target.volume.id,
            marks: &marks,
        };
        let store = match self.stores.of(marks.store()) {
            Ok(store) => store,
            Err(why) => return report(not_checked, "not checked", key, &why),
        };
        *lock(&self.tally.stores)
            .entry(stores::shown(marks.store()).to_owned())
            .or_default() += 1;
        let checked = proof::check(store.as_ref(), &file, self.deep, &|| self.mtime(&gfid));
        if matches!(checked, Err(Bad::Store(StoreError::Cancelled))) {
            // By a signal: the file is left as if it had not been found.
            return false;
        }
        add(&self.tally.checked, 1);
        add(&self.tally.bytes, found.size);
        let good = match checked {
            Ok(good) => {
                self.outage.succeeded();
                add(&self.tally.without_checksum, u64::from(!good.with_checksum));
                match self.good(found, key, &gfid, &good) {
                    Ok(()) => true,
                    Err(why) => report(not_checked, "not adopted", key, &why),
                }
            }
            Err(Bad::Wrong(why)) => report(wrong, "WRONG", key, &why),
            Err(Bad::Store(StoreError::Missing(why))) => report(missing, "MISSING", key, &why),
            Err(Bad::Store(error @ (StoreError::Corrupt(_) | StoreError::Changed(_)))) => {
                report(wrong, "WRONG", key, &error.to_string())
            }
            Err(Bad::Store(error)) => {
                // JSON output reports every failed file, even those that fail because the run is stopping.
                if self.outage.failed(&error) || self.screen.wants_json() {
                    report(not_checked, "not checked", key, &error.to_string())
                } else {
                    add(not_checked, 1);
                    false
                }
            }
            Err(Bad::NotChecked(why)) => report(not_checked, "not checked", key, &why),
        };
        self.screen.looking(|| {
            let checked = self.tally.checked.load(Ordering::Relaxed);
            report::Progress {
                seen: checked,
                done: checked,
                failed: 0,
            }
        });
        good
    }

    /// Prints a good object, and adopts it if it is of another version and `--adopt` is set.
    fn good(&self, found: &Found, key: &str, gfid: &str, good: &Good) -> Result<(), String> {
        let event = |what| Event::new(what, &found.path).bytes(found.size).key(key);
        let Some(etag) = &good.other_version else {
            self.screen.event(&event("good"));
            return Ok(());
        };
        add(&self.tally.other_version, 1);
        if !self.adopt {
            self.screen.event(&event("good, another version"));
            return Ok(());
        }
        let file = self.mount()?.by_gfid(gfid);
        let value = format!("etag={etag}");
        xattr::set(file, text(command::ADOPT), value.as_bytes()).map_err(|error| why(&error))?;
        add(&self.tally.adopted, 1);
        self.screen.event(&event("adopted"));
        Ok(())
    }

    fn mount(&self) -> Result<&Mount, String> {
        self.mount.as_ref().map_err(Clone::clone)
    }

    /// The mtime that users see; the file on a brick has the time at which it was truncated.
    fn mtime(&self, gfid: &str) -> Result<Time, String> {
        let data = self.mount()?.by_gfid(gfid).symlink_metadata();
        Ok(seen(&data.map_err(|error| error.to_string())?).mtime)
    }
}
