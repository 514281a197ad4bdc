// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync recall` and `cloudsync cancel`: both ask the translator of the mount that contains the path. Anybody who
//! may read a file may recall it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_format::command;
use rustix::io::Errno;
use serde::Serialize;

use crate::cli::{OutputFlags, PathsArgs, RecallArgs};
use crate::crawl::{State, ask, parse_state, text};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::parallel::{AUTO, parallel};
use crate::report::{Event, Progress, Screen, human};

/// How soon the state is asked again at first; the pause doubles up to [`LONGEST_POLL`].
const FIRST_POLL: Duration = Duration::from_millis(2);
const LONGEST_POLL: Duration = Duration::from_millis(100);
/// If a file is found cold for so long, its recall is considered failed.
const PATIENCE: Duration = Duration::from_secs(2);

mod cost;
mod plan;

use cost::{Class, Costs};
use plan::Plan;

/// The result of a run. The field names are the keys of the JSON output.
#[derive(Debug, Default, Serialize)]
struct Summary {
    event: &'static str,
    dry_run: bool,
    recalled: u64,
    bytes: u64,
    already_local: u64,
    not_selected: u64,
    failed: u64,
    /// By storage class.
    #[serde(skip_serializing_if = "Option::is_none")]
    costs: Option<BTreeMap<String, Class>>,
}

/// What has been done with the files of a plan.
#[derive(Debug, Default)]
struct Tally {
    recalled: AtomicU64,
    bytes: AtomicU64,
    local: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    fn progress(&self) -> Progress {
        let [done, local, failed] = [&self.recalled, &self.local, &self.failed]
            .map(|counter| counter.load(Ordering::Relaxed));
        Progress {
            seen: done + local + failed,
            done,
            failed,
        }
    }
}

/// Runs `cloudsync recall` and prints its summary.
pub(crate) fn command(args: &RecallArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output).about("files", "cold");
    let tally = Tally::default();
    let add = |counter: &AtomicU64, more: u64| {
        counter.fetch_add(more, Ordering::Relaxed);
    };
    let report_error = |path: &Path, why: &str| {
        add(&tally.failed, 1);
        screen.failure(&Event::new("failed", path).why(why));
    };
    let prices = args.prices.as_deref().zip(args.paths.first());
    let costs = prices.map(|(prices, path)| Costs::new(prices, path));
    let costs = costs.transpose()?;
    let plan = Plan::new(args, &screen, &report_error)?;
    let (not_selected, local) = (plan.not_selected, plan.local);
    if !args.dry_run && !args.anyway {
        plan.check_space(args)?;
    }
    screen.expect(plan.files, plan.bytes);
    let one = |(path, bytes): (PathBuf, u64)| {
        if interrupted() {
            return;
        }
        let outcome = match (args.dry_run, &costs) {
            (true, None) => Ok(Some(bytes)),
            (true, Some(costs)) => costs.add(&path, bytes).map(|()| Some(bytes)),
            (false, _) => start_recall(&path, args.wait),
        };
        match outcome {
            Ok(Some(bytes)) => {
                add(&tally.recalled, 1);
                add(&tally.bytes, bytes);
                match (args.dry_run, args.wait) {
                    (true, _) => screen.always(&Event::new("would recall", &path).bytes(bytes)),
                    (false, true) => screen.event(&Event::new("recalled", &path).bytes(bytes)),
                    (false, false) => screen.event(&Event::new("recalling", &path).bytes(bytes)),
                }
            }
            Ok(None) => {
                add(&tally.local, 1);
                screen.event(&Event::new("local", &path));
            }
            Err(why) => report_error(&path, &why),
        }
        screen.advance(bytes, || tally.progress());
    };
    // What is only listed is listed in order.
    let jobs = match (args.dry_run, &costs) {
        (true, None) => 1,
        _ => AUTO,
    };
    parallel(
        jobs,
        |give: &(dyn Fn((PathBuf, u64)) -> bool + Sync)| plan.run(give),
        &one,
    )
    .map_err(|error| Error::start("the list of files", error))?;
    let (costs, prices) = costs.map(Costs::finish).unzip();
    let summary = Summary {
        event: "summary",
        dry_run: args.dry_run,
        recalled: tally.recalled.into_inner(),
        bytes: tally.bytes.into_inner(),
        already_local: local + tally.local.into_inner(),
        not_selected,
        failed: tally.failed.into_inner(),
        costs,
    };
    let verb = match (args.dry_run, args.wait) {
        (true, _) => "would recall",
        (false, true) => "recalled",
        (false, false) => "recalls started for",
    };
    let mut line = format!(
        "{verb} {} files, {}; {} failed, {} were local",
        summary.recalled,
        human(summary.bytes),
        summary.failed,
        summary.already_local
    );
    if not_selected > 0 {
        line += &format!(", {not_selected} not selected");
    }
    if let Some(prices) = prices {
        line += &format!("\n{prices}");
    }
    screen.summary(&line, &summary);
    Ok(Ended::of(summary.failed > 0))
}

/// Runs `cloudsync cancel`.
pub(crate) fn cancel(args: &PathsArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let mut failed = 0;
    for path in &args.paths {
        // getxattr, not setxattr: the kernel takes the inode's lock to set an attribute, and a write or truncate that
        // waits for the recall holds that lock.
        let failure = match xattr::get(path, text(command::CANCEL)) {
            Ok(Some(_)) => {
                screen.always(&Event::new("cancelled", path));
                continue;
            }
            Ok(None) => "this mount is not recalling it".to_owned(),
            Err(error) => why(&error),
        };
        failed += 1;
        screen.failure(&Event::new("failed", path).why(&failure));
    }
    Ok(Ended::of(failed > 0))
}

/// Asks the translator for the file's state.
fn state(path: &Path) -> io::Result<State> {
    Ok(parse_state(ask(path)?.as_bytes()))
}

/// Starts a recall, and waits for its end if `wait`. Returns the file's size in bytes, or `None` if the file is local.
/// The error is text for the user.
pub(crate) fn start_recall(path: &Path, wait: bool) -> Result<Option<u64>, String> {
    let bytes = path.symlink_metadata().map_err(|error| why(&error))?.len();
    if state(path).map_err(|error| why(&error))? == State::Local {
        return Ok(None);
    }
    xattr::set(path, text(command::RECALL), b"1").map_err(|error| why(&error))?;
    if wait {
        wait_for(path)?;
    }
    Ok(Some(bytes))
}

fn wait_for(path: &Path) -> Result<(), String> {
    // A read waits for the recall, and returns its error.
    let read = File::open(path).and_then(|mut file| file.read(&mut [0]));
    read.map_err(|error| why(&error))?;
    let mut cold_since = Instant::now();
    let mut pause = FIRST_POLL;
    loop {
        match state(path).map_err(|error| why(&error))? {
            State::Local => return Ok(()),
            State::Cold => {}
            State::Between => cold_since = Instant::now(),
        }
        if cold_since.elapsed() > PATIENCE {
            return Err("it is still cold; see the client's log for the reason".to_owned());
        }
        if interrupted() {
            return Err("interrupted; the recall continues".to_owned());
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_POLL);
    }
}

/// Describes an errno of the translator (docs/SEMANTICS.md).
pub(crate) fn why(error: &io::Error) -> String {
    let text = match Errno::from_io_error(error) {
        Some(Errno::NODATA) => {
            "its object is not in the store: restore it from a backup of the bucket"
        }
        Some(Errno::ACCESS) => "permission denied by the volume or by the store",
        Some(Errno::KEYREJECTED) => {
            "the store refuses the volume's credentials (or this host's clock is wrong)"
        }
        Some(Errno::HOSTUNREACH) => "the store does not answer",
        Some(Errno::BUSY) => {
            "the store is too busy, or the object must be restored from a cold storage class first"
        }
        Some(Errno::STALE) => "its object is not the version that the file was archived as",
        Some(Errno::BADMSG) => "its object's size or checksum differs from the file's",
        Some(Errno::REMOTE) => "the volume has no store, or its plugin does not start",
        Some(Errno::CANCELED) => "the recall was cancelled",
        Some(Errno::NOSPC) => "the bricks have no space for it",
        Some(Errno::DQUOT) => {
            "budget-bytes leaves too few bytes to fetch it now, or a quota of the volume no space"
        }
        Some(Errno::OPNOTSUPP) => "not in a GlusterFS mount with the translator",
        _ => return error.to_string(),
    };
    format!("{text} ({error})")
}
