// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync archive`: crawls, sorts, uploads many files at once, and truncates each once it is proven to be stored.
//!
//! ```text
//!   feed: crawl (4 threads) -> selection -> oldest first (external sort) -> a short channel
//!   jobs: limits -> file::archive (read, upload, verify, handshake) -> tally -> summary
//! ```
//!
//! Memory does not grow with the number of files.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::cli::{ArchiveArgs, KeyLayout, OutputFlags, PaceFlags, SelectFlags, StoreChoice};
use crate::crawl::order::Candidate;
use crate::crawl::pins::Pins;
use crate::crawl::select::Selection;
use crate::crawl::show;
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::lock::Lock;
use crate::parallel::parallel;
use crate::remote;
use crate::report::{Event, Screen};
use crate::volume::folder::not_leaving;
use crate::volume::mount::Mount;
use crate::volume::{Kind, Target};

mod bytes;
mod feed;
mod file;
mod handshake;
mod limits;
mod marks;
mod open;
mod outcome;
mod sparse;
mod state;
mod tally;

use feed::Feed;
use file::{Archiver, Course};
pub(crate) use handshake::{Stored, handshake, seen};
use limits::Limits;
pub(crate) use limits::{bytes_per_second, free_percent};
pub(crate) use marks::{moment_of, stamp, unique_id};
use open::Folders;
use outcome::Done;
pub(crate) use tally::Summary;
use tally::Tally;

/// What to archive and how, from the command line or from a policy's rule.
#[derive(Clone, Debug)]
pub(crate) struct Task<'a> {
    pub(crate) target: &'a Path,
    pub(crate) select: &'a SelectFlags,
    pub(crate) pace: &'a PaceFlags,
    pub(crate) key_layout: KeyLayout,
    pub(crate) dry_run: bool,
    pub(crate) lock: bool,
    pub(crate) store: &'a StoreChoice,
}

/// Runs the command and prints its summary.
pub(crate) fn command(args: &ArchiveArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let task = Task {
        target: &args.target,
        select: &args.select,
        pace: &args.pace,
        key_layout: args.key_layout,
        dry_run: args.dry_run,
        lock: !args.no_lock,
        store: &args.store,
    };
    let (summary, ended) = run(&task, &screen)?;
    screen.summary(&summary.to_string(), &summary);
    Ok(ended)
}

/// Archives the files of one task. Per-file failures are counted and printed; an error means it could not start.
pub(crate) fn run(task: &Task<'_>, screen: &Screen) -> Result<(Summary, Ended), Error> {
    let started = Instant::now();
    let selection = Selection::new(task.select)?;
    let target = Target::find(task.target)?;
    let volume = &target.volume;
    if !volume.archives() {
        return Err(Error::Start(format!(
            "volume {0}: features.cloudsync is off; first run: gluster volume set {0} features.cloudsync on",
            volume.name
        )));
    }
    let _lock = if task.lock {
        Some(Lock::take(&target.root)?)
    } else {
        None
    };
    let tally = Tally::default();
    let limits = Limits::new(task.pace, &target);
    let feed = Feed {
        target: &target,
        selection: &selection,
        pins: &Pins::new(&target.root, task.select.pins),
        order: task.pace.order,
        tally: &tally,
        limits: &limits,
        screen,
    };
    if task.dry_run {
        let would = |candidate: &Candidate| {
            tally.archived(candidate.size, false);
            let event = Event::new("would archive", &candidate.path).bytes(candidate.size);
            screen.always(&event);
        };
        through(feed, 1, &limits, &tally, &would)?;
    } else {
        let store = remote::open(volume, task.store)?;
        let mount = Mount::new(volume)?;
        not_leaving(volume);
        let archiver = Archiver {
            volume,
            folders: Folders::new(mount.root()),
            brick: (target.kind == Kind::Brick).then_some(&target.root),
            store: store.as_ref(),
            store_name: task.store.name(),
            layout: task.key_layout,
            selection: &selection,
        };
        let one = |candidate: &Candidate| one(&archiver, candidate, &tally, &limits, screen);
        through(feed, task.pace.jobs, &limits, &tally, &one)?;
    }
    screen.clear();
    let mut summary = tally.summary(started.elapsed());
    summary.dry_run = task.dry_run;
    summary.stopped = limits.why();
    Ok((summary, limits.ended(&tally)))
}

/// Runs `one` in at most `jobs` threads on every file from `feed`. Once a limit is reached, files already queued are dropped.
fn through(
    feed: Feed<'_>,
    jobs: u16,
    limits: &Limits,
    tally: &Tally,
    one: &(dyn Fn(&Candidate) + Sync),
) -> Result<(), Error> {
    let within_limits = |candidate: Candidate| {
        if !limits.enough(tally) && limits.take() {
            limits.wait_for_a_turn();
            // A signal ends the wait, but this file was not begun.
            if interrupted() {
                limits.give_back();
            } else {
                one(&candidate);
            }
        }
    };
    parallel(jobs, |give| feed.run(give), &within_limits)
        .map_err(|error| Error::start("the list of files", error))
}

fn one(
    archiver: &Archiver<'_>,
    candidate: &Candidate,
    tally: &Tally,
    limits: &Limits,
    screen: &Screen,
) {
    let shown = AtomicU64::new(0);
    let sent = |bytes| {
        // Bytes may be sent more than once, and the file may have grown since it was found.
        let before = shown.fetch_add(bytes, Ordering::Relaxed);
        screen.sending(bytes.min(candidate.size.saturating_sub(before)));
    };
    let course = Course {
        rate: limits.rate(),
        sent: &sent,
    };
    match archiver.archive(candidate, &course) {
        Ok(Done::Archived { bytes, uploaded }) => {
            tally.archived(bytes, uploaded);
            limits.succeeded();
            let how = if uploaded {
                "archived"
            } else {
                "archived again"
            };
            screen.event(&Event::new(how, &candidate.path).bytes(bytes));
        }
        Ok(Done::Left(why)) => {
            limits.give_back();
            tally.left(why);
            screen.event(&Event::new("left", &candidate.path).why(why.text()));
        }
        Err(problem) => {
            tally.failed();
            // JSON output reports every failed file, even those that fail because the run is stopping.
            if limits.failed(&problem) || screen.wants_json() {
                screen.failure(&Event::new("failed", &candidate.path).why(&problem.to_string()));
            }
        }
    }
    let left = candidate.size.saturating_sub(shown.into_inner());
    screen.advance(left, || tally.progress());
    tracing::debug!(file = %show(&candidate.path), "done");
}
