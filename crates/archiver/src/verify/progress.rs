// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Which folders a run has found to be good, so that the next one can leave them out if this one is cut off: a text file with
//! a line for each, below [`folder::of`] the volume. A run that comes to its end removes it.
//!
//! A part is what is recorded together: the files in a folder of the first levels, or all below one of the next level.
//! Parts are crawled one after the other, and their files are checked meanwhile, so a part ends when its last file does.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cloudsync_format::checksum::Algorithm;

use crate::cli::VerifyArgs;
use crate::crawl::{Found, State, crawl_below, crawl_folder};
use crate::exit::Error;
use crate::parallel::lock;
use crate::remote;
use crate::volume::{Target, folder};

/// How many levels of folders have parts of their own. More make a longer file, fewer larger parts.
const LEVELS: u32 = 2;

/// An older record is of no use: what was good then may not be now.
const OLDEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// The first line, with the seconds since the epoch when the first run began. No path begins like that.
const BEGAN: &str = "began ";

/// What has been found to be good.
#[derive(Debug)]
pub(super) struct Progress {
    path: PathBuf,
    before: HashSet<String>,
    /// Not there if it cannot be written, and nobody asked for it.
    file: Option<Mutex<File>>,
}

/// A part that is being checked. It is good when it is dropped, unless it was spoiled.
#[derive(Debug)]
pub(super) struct Part<'a> {
    progress: &'a Progress,
    name: String,
    spoiled: AtomicBool,
}

/// A cold file, and its part.
pub(super) type Item<'p> = (Found, Arc<Part<'p>>);

/// Takes a cold file; returns false if no more are wanted.
type Give<'a, 'p> = dyn Fn(Item<'p>) -> bool + Sync + 'a;

/// Takes the path of what cannot be read, and why.
type Report<'a> = dyn Fn(&Path, &str) + Sync + 'a;

impl Progress {
    /// The progress of the last run with these arguments, if it is to be resumed; else that of a new one.
    pub(super) fn open(target: &Target, args: &VerifyArgs) -> Result<Self, Error> {
        let folder = folder::of(&target.volume);
        let start = target.start();
        let how = [0, u8::from(args.deep), u8::from(args.adopt)];
        // What another store was found to have says nothing of this one.
        let store = remote::about(&target.volume, &args.store);
        let about = [start.as_os_str().as_bytes(), &how, store.as_bytes()].concat();
        let sum = Algorithm::Crc64Nvme.of(&about);
        // As a file's name, in which a base64 text may not have its slashes.
        let path = folder.join(format!("verify-{}", sum.base64().replace('/', "-")));
        let open = || {
            folder::create(&folder)?;
            let before = match args.resume {
                true => read(&path)?,
                false => HashSet::new(),
            };
            let mut options = File::options();
            let mut file = match before.is_empty() {
                true => options
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .open(&path)?,
                false => options.append(true).open(&path)?,
            };
            match before.is_empty() {
                true => file.write_all(format!("{BEGAN}{}\n", now()).as_bytes())?,
                // The last line may have been cut off.
                false => file.write_all(b"\n")?,
            }
            Ok((before, Some(Mutex::new(file))))
        };
        let opened: io::Result<_> = open();
        let (before, file) = match opened {
            Err(error) if args.resume => return Err(Error::start(path.display(), error)),
            other => other.unwrap_or_default(),
        };
        Ok(Self { path, before, file })
    }

    /// How many parts the last run has found to be good.
    pub(super) fn before(&self) -> u64 {
        self.before.len() as u64
    }

    /// Everything has been checked.
    pub(super) fn end(self) {
        // If it stays, the next run that goes on leaves folders out that this one has checked.
        let _removed = fs::remove_file(self.path);
    }

    /// Passes the cold files of all parts that are not known to be good to `give`, as long as `go_on` returns true.
    pub(super) fn each_part<'p>(
        &'p self,
        target: &Target,
        give: &Give<'_, 'p>,
        go_on: &(dyn Fn() -> bool + Sync),
        report: &Report<'_>,
    ) {
        let crawl = Crawl {
            progress: self,
            target,
            give,
            go_on,
            report,
        };
        crawl.folder(&target.start(), LEVELS);
    }

    /// A part, unless it is known to be good.
    fn part(&self, name: String) -> Option<Arc<Part<'_>>> {
        let new = !self.before.contains(&name);
        new.then(|| {
            Arc::new(Part {
                progress: self,
                name,
                spoiled: AtomicBool::new(false),
            })
        })
    }
}

impl Part<'_> {
    /// Something in it was not found to be good.
    pub(super) fn spoil(&self) {
        self.spoiled.store(true, Ordering::Relaxed);
    }

    /// Spoils the part if the thread panics before this is dropped.
    pub(super) fn unless_panicking(&self) -> impl Drop {
        struct Guard<'g>(&'g Part<'g>);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                if thread::panicking() {
                    self.0.spoil();
                }
            }
        }
        Guard(self)
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if let Some(file) = &self.progress.file
            && !*self.spoiled.get_mut()
        {
            let line = format!("{}\n", self.name);
            // If it cannot be recorded, it is checked again.
            let _recorded = lock(file).write_all(line.as_bytes());
        }
    }
}

struct Crawl<'a, 'p> {
    progress: &'p Progress,
    target: &'a Target,
    give: &'a Give<'a, 'p>,
    go_on: &'a (dyn Fn() -> bool + Sync),
    report: &'a Report<'a>,
}

impl<'p> Crawl<'_, 'p> {
    /// Crawls a folder, as parts of so many levels.
    fn folder(&self, folder: &Path, levels: u32) {
        let name = folder.as_os_str().as_bytes().escape_ascii();
        if levels == 0 {
            if let Some(part) = self.progress.part(format!("{name}/**")) {
                let part = &part;
                let _guard = part.unless_panicking();
                let each = |found| self.one(found, part);
                let report = |path: &Path, why: &str| self.failed(path, why, part);
                crawl_below(self.target, folder, &each, &report);
            }
            return;
        }
        let folders = match self.progress.part(format!("{name}/*")) {
            None => crawl_folder(self.target, folder, None, self.report),
            Some(part) => {
                let part = &part;
                let _guard = part.unless_panicking();
                let each = |found| self.one(found, part);
                let report = |path: &Path, why: &str| self.failed(path, why, part);
                crawl_folder(self.target, folder, Some(&each), &report)
            }
        };
        for folder in folders {
            if !(self.go_on)() {
                return;
            }
            self.folder(&folder, levels - 1);
        }
    }

    fn one(&self, found: Found, part: &Arc<Part<'p>>) -> bool {
        let cold = found.state != State::Local;
        let go_on = (!cold || (self.give)((found, Arc::clone(part)))) && (self.go_on)();
        if !go_on {
            part.spoil();
        }
        go_on
    }

    fn failed(&self, path: &Path, why: &str, part: &Part<'_>) {
        part.spoil();
        (self.report)(path, why);
    }
}

/// The names of the parts; none if there is no file.
fn read(path: &Path) -> io::Result<HashSet<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(names(&String::from_utf8_lossy(&bytes), now())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(HashSet::new()),
        Err(error) => Err(error),
    }
}

/// Those on whole lines, because what was cut off may look like another name; none if they are too old.
fn names(text: &str, now: u64) -> HashSet<String> {
    let lines = text.split_inclusive('\n');
    let mut whole = lines.filter_map(|line| line.strip_suffix('\n'));
    let began = whole.next().and_then(|line| line.strip_prefix(BEGAN));
    let began: Option<u64> = began.and_then(|began| began.parse().ok());
    if began.is_none_or(|began| now.saturating_sub(began) > OLDEST.as_secs()) {
        return HashSet::new();
    }
    whole
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Seconds since the epoch.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_off_counts_for_nothing() {
        let text = "began 1000\n/b/a/**\n/b/*\n/b/deep/*";
        let expected = ["/b/a/**", "/b/*"].map(str::to_owned);
        assert_eq!(names(text, 2000), HashSet::from(expected));
        let later = 1001 + OLDEST.as_secs();
        assert!(names(text, later).is_empty() && names("/b/*\n", 2000).is_empty());
    }
}
