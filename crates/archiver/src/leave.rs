// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync prepare-off`: lists the cold files, or recalls them, before features.cloudsync is turned off.
//!
//! Without the translator a cold file reads as empty. glusterd's hooks call `keep-on` ([`guard`]), which turns the
//! feature back on while a brick of this host has cold files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use cloudsync_format::xattr as names;
use serde::Serialize;

use crate::cli::{OutputFlags, PrepareOffArgs};
use crate::crawl::{Extent, Walked, is_gone, text, walk_extent};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::parallel::{AUTO, parallel};
use crate::recall::start_recall;
use crate::report::{Event, Progress, Screen, human};
use crate::volume::Volume;
use crate::volume::folder::leaving;
use crate::volume::mount::Mount;

pub(crate) mod guard;

/// How many cold files are listed without --verbose.
const FIRST: u64 = 10;
/// Recall passes, because other clients may archive during one.
const PASSES: usize = 3;

/// The result of a run. The field names are the keys of the JSON output.
#[derive(Debug, Serialize)]
struct Summary {
    event: &'static str,
    cold_files: u64,
    cold_bytes: u64,
    recalled: u64,
    failed: u64,
    loss_accepted: bool,
}

/// State of a run on our mount of a volume.
struct Leaver<'a> {
    mount: &'a Mount,
    screen: &'a Screen,
    recalled: AtomicU64,
    failed: AtomicU64,
}

/// Counts of cold files from one crawl.
#[derive(Debug, Default)]
struct Cold {
    files: AtomicU64,
    bytes: AtomicU64,
}

/// Runs the command and prints its summary.
pub(crate) fn command(args: &PrepareOffArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output).about("files", "recalled");
    let volume = Volume::of(&args.target)?;
    if args.recall && !volume.archives() {
        return Err(Error::Start(format!(
            "volume {0}: features.cloudsync is off, so nothing can be recalled; \
             first run: gluster volume set {0} features.cloudsync on",
            volume.name
        )));
    }
    let mount = Mount::new(&volume)?;
    let leaver = Leaver {
        mount: &mount,
        screen: &screen,
        recalled: AtomicU64::new(0),
        failed: AtomicU64::new(0),
    };
    leaver.all_bricks_there()?;
    for _ in 0..PASSES {
        if !args.recall || interrupted() || leaver.recall() == 0 {
            break;
        }
    }
    let cold = leaver.list();
    leaver.all_bricks_there()?;
    let summary = Summary {
        event: "summary",
        cold_files: cold.files.into_inner(),
        cold_bytes: cold.bytes.into_inner(),
        recalled: leaver.recalled.into_inner(),
        failed: leaver.failed.into_inner(),
        loss_accepted: args.accept_loss,
    };
    if args.accept_loss {
        accept_loss(&volume)?;
    }
    let Summary {
        cold_files, failed, ..
    } = summary;
    let name = &volume.name;
    let what = if args.accept_loss {
        format!(
            "this host now allows features.cloudsync of {name} to be off; cold files will then read as empty"
        )
    } else if cold_files > 0 || failed > 0 {
        "do not turn features.cloudsync off; use --recall to recall them".to_owned()
    } else {
        format!("gluster volume set {name} features.cloudsync off loses nothing")
    };
    let line = format!(
        "{} recalled, {failed} failed; {cold_files} files are cold ({}): {what}",
        summary.recalled,
        human(summary.cold_bytes)
    );
    screen.summary(&line, &summary);
    Ok(Ended::of(
        failed > 0 || (cold_files > 0 && !args.accept_loss),
    ))
}

/// Creates the marker that makes `keep-on` accept that the feature is off.
fn accept_loss(volume: &Volume) -> Result<(), Error> {
    let path = leaving(volume);
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::write(&path, b"cloudsync prepare-off --accept-loss\n")
    };
    write().map_err(|error| Error::start(path.display(), error))
}

fn is_cold(at: &Path) -> io::Result<bool> {
    Ok(xattr::get(at, text(names::REMOTE))?.is_some())
}

impl Leaver<'_> {
    /// Calls `each` for each cold file, until it returns false.
    fn crawl(&self, each: &(dyn Fn(&Path) -> bool + Sync)) {
        let fail = |path: &Path, why: &str| {
            self.failed.fetch_add(1, Ordering::Relaxed);
            self.screen.failure(&Event::new("failed", path).why(why));
        };
        walk_extent(self.mount.root(), Extent::OneFileSystem, &|walked| {
            match walked {
                Walked::File(path) => match is_cold(path) {
                    Ok(true) => return each(path) && !interrupted(),
                    Ok(false) => {}
                    Err(error) if is_gone(&error) => {}
                    Err(error) => fail(path, &error.to_string()),
                },
                Walked::Folder(_) | Walked::Link(_) | Walked::Gone => {}
                Walked::Failed(why) => fail(self.mount.root(), why),
            }
            !interrupted()
        });
    }

    fn event(&self, what: &str, path: &Path) -> Event {
        Event::new(what, path.strip_prefix(self.mount.root()).unwrap_or(path))
    }

    /// Recalls the cold files. Returns how many were recalled.
    fn recall(&self) -> u64 {
        let before = self.recalled.load(Ordering::Relaxed);
        let one = |path: PathBuf| {
            if interrupted() {
                return;
            }
            match start_recall(&path, true) {
                Ok(Some(bytes)) => {
                    self.recalled.fetch_add(1, Ordering::Relaxed);
                    self.screen
                        .event(&self.event("recalled", &path).bytes(bytes));
                }
                Ok(None) => {}
                Err(why) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    self.screen.failure(&self.event("failed", &path).why(&why));
                }
            }
            self.screen.looking(|| {
                let done = self.recalled.load(Ordering::Relaxed);
                Progress {
                    seen: done,
                    done,
                    failed: 0,
                }
            });
        };
        parallel(
            AUTO,
            |give: &(dyn Fn(PathBuf) -> bool + Sync)| self.crawl(&|path| give(path.to_owned())),
            &one,
        );
        self.recalled.load(Ordering::Relaxed) - before
    }

    /// Counts the cold files, and prints the first ones.
    fn list(&self) -> Cold {
        let cold = Cold::default();
        self.crawl(&|path| {
            let size = path.symlink_metadata().map_or(0, |data| data.len());
            cold.bytes.fetch_add(size, Ordering::Relaxed);
            let event = self.event("cold", path).bytes(size);
            if cold.files.fetch_add(1, Ordering::Relaxed) < FIRST {
                self.screen.always(&event);
            } else {
                self.screen.event(&event);
            }
            true
        });
        cold
    }

    fn all_bricks_there(&self) -> Result<(), Error> {
        match self.mount.lost_bricks()? {
            0 => Ok(()),
            lost => Err(Error::Start(format!(
                "{lost} bricks cannot be reached, and their files may be cold; start them and retry"
            ))),
        }
    }
}
