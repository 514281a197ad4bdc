// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Which files to recall: the selected cold ones, in the order in which they were archived, as stores of tapes have them.
//! All of them are found first, so that the bytes to come can be compared with the space, and the time left is known.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::geteuid;

use super::why;
use crate::cli::RecallArgs;
use crate::crawl::order::{Candidate, Sorted, Sorter};
use crate::crawl::select::Selection;
use crate::crawl::times::Times;
use crate::crawl::{Answer, Found, State, ask_details, is_gone, parse_state, walk};
use crate::exit::Error;
use crate::interrupt::interrupted;
use crate::parallel::lock;
use crate::report::{Progress, Screen, human};
use crate::volume::in_volume;

/// The files to recall.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) local: u64,
    pub(super) not_selected: u64,
    sorted: Sorted,
}

/// Counts and files while they are found.
#[derive(Debug, Default)]
struct Finding {
    sorter: Mutex<Sorter>,
    /// Why the list could not be written.
    failure: Mutex<Option<io::Error>>,
    files: AtomicU64,
    bytes: AtomicU64,
    local: AtomicU64,
    not_selected: AtomicU64,
}

impl Plan {
    /// Finds them. What cannot be looked at goes to `report_error`.
    pub(super) fn new(
        args: &RecallArgs,
        screen: &Screen,
        report_error: &(dyn Fn(&Path, &str) + Sync),
    ) -> Result<Self, Error> {
        if args.archived_within.is_some() && !geteuid().is_root() {
            let why = "--archived-within: only root can see when a file was archived";
            return Err(Error::Usage(why.to_owned()));
        }
        let selection = Selection::of_cold(&args.which, args.archived_within)?;
        let finding = Finding::default();
        for path in &args.paths {
            if path.is_dir() && !args.recursive {
                let why = "it is a directory: use --recursive to recall the files below it";
                report_error(path, why);
                continue;
            }
            let in_volume = match in_volume(path) {
                Ok(in_volume) => in_volume,
                Err(error) => {
                    report_error(path, &error.to_string());
                    continue;
                }
            };
            let each = |at: &Path| {
                match look(path, &in_volume, at) {
                    Ok(found) => finding.add(&selection, found),
                    // Removed or renamed since.
                    Err(error) if is_gone(&error) && at != path => {}
                    Err(error) => report_error(at, &why(&error)),
                }
                screen.looking(|| finding.progress());
                !interrupted()
            };
            if path.is_dir() {
                walk(path, path, &each, report_error);
            } else {
                each(path);
            }
        }
        let listed = |error| Error::start("the list of files", error);
        if let Some(error) = lock(&finding.failure).take() {
            return Err(listed(error));
        }
        let sorter = std::mem::take(&mut *lock(&finding.sorter));
        Ok(Self {
            files: finding.files.into_inner(),
            bytes: finding.bytes.into_inner(),
            local: finding.local.into_inner(),
            not_selected: finding.not_selected.into_inner(),
            sorted: sorter.finish().map_err(listed)?,
        })
    }

    /// Refuses to begin what cannot fit.
    pub(super) fn check_space(&self, args: &RecallArgs) -> Result<(), Error> {
        let Some(path) = args.paths.first() else {
            return Ok(());
        };
        let space = rustix::fs::statvfs(path);
        let space = space.map_err(|error| Error::start(path.display(), error))?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        if self.bytes <= free {
            return Ok(());
        }
        Err(Error::Start(format!(
            "{}: {} in {} files would come back, and {} are free: choose fewer, archive others, or use --anyway",
            path.display(),
            human(self.bytes),
            self.files,
            human(free)
        )))
    }

    /// Passes each file and its size to `give`, until that returns false.
    pub(super) fn run(self, give: &(dyn Fn((PathBuf, u64)) -> bool + Sync)) -> io::Result<()> {
        for candidate in self.sorted {
            let Candidate { path, size, .. } = candidate?;
            if interrupted() || !give((path, size)) {
                break;
            }
        }
        Ok(())
    }
}

impl Finding {
    fn add(&self, selection: &Selection, found: Found) {
        let count = |counter: &AtomicU64, more| {
            counter.fetch_add(more, Ordering::Relaxed);
        };
        if found.state == State::Local {
            return count(&self.local, 1);
        }
        if selection.check(&found, None).is_err() {
            return count(&self.not_selected, 1);
        }
        count(&self.files, 1);
        count(&self.bytes, found.size);
        let candidate = Candidate {
            rank: found.archived.unwrap_or(0).into(),
            path: found.at,
            size: found.size,
            soon: false,
        };
        if let Err(error) = lock(&self.sorter).add(candidate) {
            *lock(&self.failure) = Some(error);
        }
    }

    fn progress(&self) -> Progress {
        let done = self.files.load(Ordering::Relaxed);
        let others = [&self.local, &self.not_selected];
        let others = others.map(|counter| counter.load(Ordering::Relaxed));
        Progress {
            seen: done + others[0] + others[1],
            done,
            failed: 0,
        }
    }
}

/// Looks at the file `at`, which is below `given` (or is that), whose path in the volume is `in_volume`.
fn look(given: &Path, in_volume: &Path, at: &Path) -> io::Result<Found> {
    let data = at.symlink_metadata()?;
    let answer = Answer::parse(&ask_details(at)?);
    let below = at.strip_prefix(given).unwrap_or(Path::new(""));
    // Joining nothing would add a slash.
    let path = match below.as_os_str() == OsStr::new("") {
        true => in_volume.to_owned(),
        false => in_volume.join(below),
    };
    Ok(Found {
        path,
        at: at.to_owned(),
        state: parse_state(answer.state.as_bytes()),
        size: data.len(),
        times: Times::of(&data),
        archived: answer.archived,
        uid: data.uid(),
        kept: answer.kept > 0,
    })
}
