// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync recall` and `cloudsync cancel`: both tell the translator of the mount that the path is in, and do
//! nothing themselves. Who may read a file may recall it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use cloudsync_format::command;
use rustix::io::Errno;
use serde::Serialize;

use crate::cli::{OutputFlags, PathsArgs, RecallArgs};
use crate::crawl::{State, parse_state, text, walk};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::parallel::parallel;
use crate::report::{Event, Screen};

/// As many as a client brings back at once by default: more would only wait.
const JOBS: usize = 16;
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A file that is cold for so many looks in a row is not being recalled any more.
const GIVE_UP: u32 = 20;

#[derive(Debug, Default, Serialize)]
struct Summary {
    event: &'static str,
    recalled: u64,
    already_local: u64,
    failed: u64,
}

/// The command `recall`.
pub(crate) fn command(args: &RecallArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let [recalled, local, failed] = [const { AtomicU64::new(0) }; 3];
    let count = |counter: &AtomicU64| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    let one = |path: PathBuf| {
        if interrupted() {
            return;
        }
        match bring_back(&path, args.wait) {
            Ok(Some(bytes)) => {
                count(&recalled);
                let event = if args.wait { "recalled" } else { "recalling" };
                screen.event(&Event::new(event, &path).bytes(bytes));
            }
            Ok(None) => {
                count(&local);
                screen.event(&Event::new("local", &path));
            }
            Err(why) => {
                count(&failed);
                screen.failure(&Event::new("failed", &path).why(&why));
            }
        }
    };
    let complain = |path: &Path, why: &str| {
        count(&failed);
        screen.failure(&Event::new("failed", path).why(why));
    };
    parallel(
        JOBS,
        |give: &(dyn Fn(PathBuf) -> bool + Sync)| {
            for path in &args.paths {
                if !path.is_dir() {
                    give(path.clone());
                } else if args.recursive {
                    let each = |path: &Path| give(path.to_owned()) && !interrupted();
                    walk(path, path, &each, &complain);
                } else {
                    complain(path, "it is a directory: --recursive recalls what is below");
                }
            }
        },
        &one,
    );
    let summary = Summary {
        event: "summary",
        recalled: recalled.into_inner(),
        already_local: local.into_inner(),
        failed: failed.into_inner(),
    };
    let verb = if args.wait {
        "recalled"
    } else {
        "recalls started for"
    };
    let line = format!(
        "{verb} {} files; {} failed, {} were local",
        summary.recalled, summary.failed, summary.already_local
    );
    screen.summary(&line, &summary);
    Ok(Ended::of(summary.failed > 0))
}

/// The command `cancel`.
pub(crate) fn cancel(args: &PathsArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let mut failed = 0;
    for path in &args.paths {
        // A get, not a set: setting an attribute takes the inode's lock, which the kernel gives to a write or truncate
        // for as long as that waits for the recall.
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

fn state(path: &Path) -> io::Result<State> {
    let answer = xattr::get(path, text(command::STATE))?;
    let no_translator = || {
        io::Error::other(
            "not in a mount with the translator: give the path in a mount of the volume",
        )
    };
    answer.as_deref().map(parse_state).ok_or_else(no_translator)
}

/// Starts a recall; its size, or `None` for a file that is local.
pub(crate) fn bring_back(path: &Path, wait: bool) -> Result<Option<u64>, String> {
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
    // Waits with the recall, and learns why it failed.
    let read = File::open(path).and_then(|mut file| file.read(&mut [0]));
    read.map_err(|error| why(&error))?;
    let mut cold = 0;
    loop {
        match state(path).map_err(|error| why(&error))? {
            State::Local => return Ok(()),
            State::Cold => cold += 1,
            State::Between => cold = 0,
        }
        if cold > GIVE_UP {
            return Err("it is cold still; the client's log says why".to_owned());
        }
        if interrupted() {
            return Err("interrupted; the recall goes on".to_owned());
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// What an errno of the translator means.
pub(crate) fn why(error: &io::Error) -> String {
    let text = match Errno::from_io_error(error) {
        Some(Errno::NODATA) => {
            "its object is not in the store: look for it in backups of the bucket"
        }
        Some(Errno::ACCESS) => "permission denied, by the volume or by the store",
        Some(Errno::KEYREJECTED) => {
            "the store refuses the volume's credentials (or this host's clock is wrong)"
        }
        Some(Errno::HOSTUNREACH) => "the store does not answer",
        Some(Errno::BUSY) => {
            "the store is too busy, or the object must be restored from a cold storage class first"
        }
        Some(Errno::STALE) => "its object is another one than the file was archived as",
        Some(Errno::BADMSG) => "its object's size or checksum is not the file's",
        Some(Errno::REMOTE) => "the volume has no store, or it could not be started",
        Some(Errno::CANCELED) => "the recall was cancelled",
        Some(Errno::NOSPC | Errno::DQUOT) => "the bricks have no room for it",
        Some(Errno::OPNOTSUPP) => "not in a GlusterFS mount with the translator",
        _ => return error.to_string(),
    };
    format!("{text} ({error})")
}
