// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync rebuild`: recreates the cold files of a lost volume from the objects in its store.
//!
//! Each file is created sparse, with its original size, in a folder that only root can access. The usual handshake, in
//! which the store confirms the object, makes it cold, and then it is linked to its path. So nobody can read it before
//! it is cold. An interrupted run can be repeated.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cloudsync_format::object::{Key, Notes, is_uuid};
use cloudsync_store::{Archive, StoreError};
use serde::Serialize;

use crate::cli::{OutputFlags, RebuildArgs};
use crate::crawl::marks;
use crate::crawl::order::{Candidate, Sorter};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::outage::{Outage, Trouble, ending};
use crate::parallel::{AUTO, lock, parallel};
use crate::remote;
use crate::report::{Event, Progress, Screen, human};
use crate::volume::Target;
use crate::volume::mount::Mount;

mod stub;

/// The folder in the volume's root in which files are created.
const STAGING: &str = ".cloudsync-rebuild";

/// The result of a run. The field names are the keys of the JSON output.
#[derive(Debug, Default, Serialize)]
struct Summary {
    event: &'static str,
    dry_run: bool,
    objects: u64,
    created: u64,
    bytes: u64,
    there_already: u64,
    not_ours: u64,
    failed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
}

struct Rebuilder<'a> {
    root: &'a Path,
    store: &'a dyn Archive,
    screen: &'a Screen,
    dry_run: bool,
    outage: Outage,
}

/// The outcome for one object.
enum Done {
    Created(Notes, PathBuf),
    ThereAlready,
    NotOurs,
}

/// Runs the command and prints its summary.
pub(crate) fn command(args: &RebuildArgs, output: &OutputFlags) -> Result<Ended, Error> {
    if !is_uuid(&args.from) {
        return Err(Error::Usage(format!(
            "--from {}: not the id of a volume; use the first part of the keys in the bucket",
            args.from
        )));
    }
    let screen = Screen::new(output).about("objects", "created");
    let target = Target::find(&args.target)?;
    let store = remote::open(&target.volume, &args.store)?;
    let mount = Mount::new(&target.volume)?;
    let rebuilder = Rebuilder {
        root: mount.root(),
        store: store.as_ref(),
        screen: &screen,
        dry_run: args.dry_run,
        outage: Outage::default(),
    };
    let staging = mount.root().join(STAGING);
    let folders: Vec<_> = (0..16)
        .map(|digit| staging.join(format!("{digit:x}")))
        .collect();
    if !args.dry_run {
        let folder = |path: &PathBuf| {
            let mut maker = fs::DirBuilder::new();
            maker.recursive(true).mode(0o700).create(path)
        };
        let made = folders.iter().try_for_each(folder);
        made.map_err(|error| Error::start(STAGING, error))?;
    }
    let mut summary = rebuilder.all(&args.from)?;
    summary.stopped = rebuilder.outage.why();
    if !args.dry_run {
        // Those in which a failed file is left stay.
        for folder in folders.iter().chain([&staging]) {
            let _ = fs::remove_dir(folder);
        }
    }
    let mut line = format!(
        "{} {} files, {}; {} existed already, {} failed, {} objects are not from cloudsync",
        if args.dry_run {
            "would create"
        } else {
            "created"
        },
        summary.created,
        human(summary.bytes),
        summary.there_already,
        summary.failed,
        summary.not_ours
    );
    line += &ending(summary.stopped.as_deref());
    screen.summary(&line, &summary);
    Ok(Ended::of(summary.failed > 0).or_early(summary.stopped.is_some()))
}

/// Passes the last key of each file to `give`, until that returns false. The archives of one file are adjacent in `keys`;
/// only the last is the file. `count` is called for each key.
fn last_archives(
    keys: impl Iterator<Item = io::Result<String>>,
    count: &dyn Fn(),
    give: &(dyn Fn(String) -> bool + Sync),
) -> io::Result<()> {
    let of = |key: &str| Key::parse(key).map(|key| key.gfid.to_owned());
    let mut last: Option<String> = None;
    for key in keys {
        let key = key?;
        count();
        if let Some(before) = last.replace(key.clone())
            && of(&before) != of(&key)
            && !give(before)
        {
            return Ok(());
        }
    }
    if let Some(key) = last {
        give(key);
    }
    Ok(())
}

impl Rebuilder<'_> {
    /// Recreates every file of the lost volume whose id is `from`.
    fn all(&self, from: &str) -> Result<Summary, Error> {
        let summary = Mutex::new(Summary {
            event: "summary",
            dry_run: self.dry_run,
            ..Summary::default()
        });
        let keys = self.keys(from)?;
        let fed = parallel(
            AUTO,
            |give: &(dyn Fn(String) -> bool + Sync)| {
                let count = || lock(&summary).objects += 1;
                last_archives(keys, &count, &|key| !self.stops() && give(key))
            },
            &|key: String| {
                if !self.stops() {
                    self.one(&key, &summary);
                }
            },
        );
        fed.map_err(|error| Error::start("the list of objects", error))?;
        Ok(summary.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where the file with that gfid is created. There are 16 folders, because the kernel changes a folder for one thread
    /// at a time.
    fn staging(&self, gfid: &str) -> PathBuf {
        self.root.join(STAGING).join(&gfid[..1]).join(gfid)
    }

    fn stops(&self) -> bool {
        interrupted() || self.outage.is_over()
    }

    /// All keys of that volume in order, sorted on disk.
    fn keys(
        &self,
        from: &str,
    ) -> Result<impl Iterator<Item = io::Result<String>> + Send + use<>, Error> {
        let mut sorter = Sorter::default();
        let mut added = Ok(());
        let listed = self.store.list(&format!("{from}/"), &mut |object| {
            if Key::parse(&object.key).is_some() {
                added = sorter.add(Candidate {
                    rank: 0,
                    path: PathBuf::from(object.key),
                    size: object.size,
                    soon: false,
                });
            }
            if added.is_ok() && !interrupted() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        listed.map_err(|error| Error::start("the store", error))?;
        let sorted = added.and_then(|()| sorter.finish());
        let sorted = sorted.map_err(|error| Error::start("the list of objects", error))?;
        Ok(sorted.map(|found| found.map(|found| found.path.to_string_lossy().into_owned())))
    }

    /// Recreates one file, and counts and prints the outcome.
    fn one(&self, key: &str, summary: &Mutex<Summary>) {
        let recreated = self.recreate(key);
        let mut summary = lock(summary);
        match recreated {
            Ok(Done::Created(notes, path)) => {
                summary.created += 1;
                summary.bytes += notes.size;
                let what = if self.dry_run {
                    "would create"
                } else {
                    "created"
                };
                let event = Event::new(what, &path).bytes(notes.size).key(key);
                if self.dry_run {
                    self.screen.always(&event);
                } else {
                    self.screen.event(&event);
                }
            }
            Ok(Done::ThereAlready) => summary.there_already += 1,
            Ok(Done::NotOurs) => summary.not_ours += 1,
            Err(trouble) => {
                summary.failed += 1;
                if self.outage.counts(&trouble) || self.screen.wants_json() {
                    let event = Event::new("failed", Path::new(key));
                    self.screen.failure(&event.why(&trouble.to_string()));
                }
            }
        }
        self.screen.looking(|| Progress {
            seen: summary.objects,
            done: summary.created,
            failed: summary.failed,
        });
    }

    fn recreate(&self, key: &str) -> Result<Done, Trouble> {
        let text = |error: io::Error| Trouble::Other(error.to_string());
        let (object, metadata) = match self.store.describe(key) {
            Ok(found) => found,
            Err(StoreError::Missing(_)) => return Ok(Done::NotOurs),
            Err(error) => return Err(error.into()),
        };
        self.outage.succeeded();
        let Some(notes) = Notes::of_metadata(&metadata) else {
            return Ok(Done::NotOurs);
        };
        if object.size != notes.size {
            return Err(Trouble::Other(format!(
                "the object has {} bytes, but the file had {}",
                object.size, notes.size
            )));
        }
        let path = stub::place(&notes)?;
        let at = self.root.join(&path);
        match marks(&at) {
            Ok(Some(marks)) if marks.key == key => return Ok(Done::ThereAlready),
            Ok(_) => {
                return Err(Trouble::Other(format!(
                    "{}: another file exists at this path",
                    path.display()
                )));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(text(error)),
        }
        if !self.dry_run {
            let stub = self.staging(&notes.gfid);
            stub::make(&stub, key, &notes)?;
            // A link, not a rename, because it never replaces a file.
            let linked = match (fs::hard_link(&stub, &at), at.parent()) {
                (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(folder).and_then(|()| fs::hard_link(&stub, &at))
                }
                (linked, _) => linked,
            };
            linked.map_err(text)?;
            fs::remove_file(&stub).map_err(text)?;
        }
        Ok(Done::Created(notes, path))
    }
}
