// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync kept`: lists files that hold bytes which no recall wrote, and the objects they were archived as before.
//! The file reads as those bytes. gc keeps the objects until somebody has compared the two and used `--drop`.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use cloudsync_format::command;
use serde::Serialize;

use crate::cli::{KeptArgs, OutputFlags};
use crate::crawl::{text, walk};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::recall::why;
use crate::report::{Event, Screen};
use crate::status::KeptObject;

/// The result of a run. The field names are the keys of the JSON output.
#[derive(Debug, Serialize)]
struct Summary {
    event: &'static str,
    files: u64,
    dropped: u64,
    failed: u64,
}

/// Runs the command and prints its summary.
pub(crate) fn command(args: &KeptArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let [files, dropped, failed] = [const { AtomicU64::new(0) }; 3];
    let count = |counter: &AtomicU64| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    let report_error = |path: &Path, why: &str| {
        count(&failed);
        screen.failure(&Event::new("failed", path).why(why));
    };
    let one = |path: &Path| {
        match list(path, &screen) {
            Ok(true) => {
                count(&files);
                match args.drop.then(|| forget(path)) {
                    None => {}
                    Some(Ok(())) => {
                        count(&dropped);
                        screen.event(&Event::new("dropped", path));
                    }
                    Some(Err(error)) => report_error(path, &why(&error)),
                }
            }
            Ok(false) => screen.event(&Event::new("nothing kept", path)),
            Err(error) => report_error(path, &why(&error)),
        }
        !interrupted()
    };
    for path in &args.paths {
        if !path.is_dir() {
            one(path);
        } else if args.recursive {
            walk(path, path, &one, &report_error);
        } else {
            report_error(
                path,
                "it is a directory: use --recursive to list the files below it",
            );
        }
    }
    let summary = Summary {
        event: "summary",
        files: files.into_inner(),
        dropped: dropped.into_inner(),
        failed: failed.into_inner(),
    };
    let line = format!(
        "{} files hold bytes that no recall wrote; {} dropped, {} failed",
        summary.files, summary.dropped, summary.failed
    );
    screen.summary(&line, &summary);
    Ok(Ended::of(summary.failed > 0))
}

/// Prints the kept objects of a file. Returns whether there are any.
fn list(path: &Path, screen: &Screen) -> io::Result<bool> {
    let kept = KeptObject::all(path)?;
    for object in &kept {
        let event = Event::new("kept", path);
        screen.always(&event.bytes(object.bytes).key(&object.key));
    }
    Ok(!kept.is_empty())
}

/// Removes the file's record of those objects.
fn forget(path: &Path) -> io::Result<()> {
    xattr::remove(path, text(command::KEPT))
}
