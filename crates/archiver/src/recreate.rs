// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Recreates cold files from their objects, for `cloudsync rebuild` and `cloudsync undelete`.
//!
//! Each file is created sparse, with its original size, in a folder that only root can access. The usual handshake, in
//! which the store confirms the object, makes it cold, and then it is linked to its path. So nobody can read it before
//! it is cold. An interrupted run can be repeated.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cloudsync_format::object::{Key, Notes};
use cloudsync_format::stores;
use cloudsync_store::{Archive, StoreError};
use serde::Serialize;

use crate::archive::{Stored, moment_of};
use crate::catalog::{Restored, restore};
use crate::cli::StoreChoice;
use crate::crawl::{is_gone, marks};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::lock::Lock;
use crate::outage::{Outage, Trouble, ending};
use crate::parallel::{AUTO, lock, parallel};
use crate::remote::Stores;
use crate::report::{Event, Progress, Screen, human};
use crate::volume::mount::Mount;
use crate::volume::{Volume, folder};

mod archives;
mod stub;

/// The folder in the volume's root in which files are created.
const STAGING: &str = ".cloudsync-rebuild";

/// Which files are recreated, and where.
#[derive(Debug)]
pub(crate) struct Choice {
    /// The id of the volume whose objects they are.
    pub(crate) from: String,
    /// Only those at or below this path of that volume; empty: all.
    pub(crate) under: PathBuf,
    /// Nothing that was archived after this moment, in the form that archives' ids begin with.
    pub(crate) until: Option<String>,
    pub(crate) place: Place,
    /// Only list them.
    pub(crate) dry_run: bool,
    /// Whether folders, links and attributes come back, too, from the volume's latest catalog.
    pub(crate) catalog: bool,
}

/// Where files are recreated.
#[derive(Debug)]
pub(crate) enum Place {
    /// At their paths.
    Path,
    /// At their paths and with their gfids, unless they exist: a file that was only renamed does.
    Identity,
    /// In this folder of the volume, below which paths begin where [`Choice::under`] ends.
    Folder(PathBuf),
}

/// What a command calls a file that it has recreated, or would recreate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    pub(crate) done: &'static str,
    pub(crate) would: &'static str,
}

/// The result of a run. The field names are the keys of the JSON output.
#[derive(Debug, Default, Serialize)]
struct Summary {
    event: &'static str,
    dry_run: bool,
    objects: u64,
    created: u64,
    bytes: u64,
    there_already: u64,
    /// Of other paths.
    not_selected: u64,
    not_ours: u64,
    failed: u64,
    /// What came back from the volume's catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog: Option<Restored>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
}

struct Recreator<'a> {
    mount: &'a Mount,
    /// Those that are looked at, with their names; the first one has the catalog.
    stores: &'a [Opened],
    screen: &'a Screen,
    choice: &'a Choice,
    word: &'static str,
    outage: Outage,
}

/// A store and its name; `None` is the name of the volume's own.
type Opened = (Option<String>, Arc<dyn Archive>);

/// The outcome for one object.
enum Done {
    Created(Notes, PathBuf),
    ThereAlready,
    NotSelected,
    NotOurs,
}

/// Recreates files of `volume` and prints the summary.
pub(crate) fn recreate(
    volume: &Volume,
    store: &StoreChoice,
    choice: &Choice,
    screen: &Screen,
    words: Words,
) -> Result<Ended, Error> {
    let all = Stores::to_choose_from(volume, store)?;
    let names = match &store.store {
        Some(_) => vec![store.name().map(str::to_owned)],
        None => all.all(),
    };
    let open = |name: Option<String>| {
        let opened = all.of(name.as_deref()).map_err(Error::Start)?;
        Ok::<_, Error>((name, opened))
    };
    let stores: Vec<_> = names.into_iter().map(open).collect::<Result<_, _>>()?;
    // `gc` has it alone: it must not delete an object meanwhile that a file is made from.
    let _lock = Lock::share(&folder::of(volume))?;
    // The folder in which files are made is one for all runs.
    let _alone = Lock::take(&folder::of(volume).join("rebuild"))?;
    let mount = Mount::new(volume)?;
    let word = if choice.dry_run {
        words.would
    } else {
        words.done
    };
    let recreator = Recreator {
        mount: &mount,
        stores: &stores,
        screen,
        choice,
        word,
        outage: Outage::default(),
    };
    let staging = mount.root().join(STAGING);
    let folders: Vec<_> = (0..16)
        .map(|digit| staging.join(format!("{digit:x}")))
        .collect();
    if !choice.dry_run {
        let made = folders.iter().try_for_each(|folder| prepare(folder));
        made.map_err(|error| Error::start(STAGING, error))?;
    }
    let mut summary = recreator.all()?;
    summary.stopped = recreator.outage.why();
    if choice.catalog && summary.stopped.is_none() && !interrupted() {
        let (root, dry_run) = (mount.root(), choice.dry_run);
        if let Some((_, first)) = stores.first() {
            summary.catalog = restore(root, first.as_ref(), &choice.from, dry_run, screen)?;
        }
    }
    if !choice.dry_run {
        // Those in which a failed file is left stay.
        for folder in folders.iter().chain([&staging]) {
            let _ = fs::remove_dir(folder);
        }
    }
    let mut line = format!(
        "{word} {} files, {}; {} existed already, {} failed, {} objects are not from cloudsync",
        summary.created,
        human(summary.bytes),
        summary.there_already,
        summary.failed,
        summary.not_ours
    );
    if summary.not_selected > 0 {
        line += &format!(", {} are of other paths", summary.not_selected);
    }
    let mut failed = summary.failed;
    match &summary.catalog {
        Some(catalog) if choice.dry_run => {
            line += &format!("; and what the catalog of {} has", catalog.time);
        }
        Some(catalog) => {
            failed += catalog.failed;
            line += &format!(
                "; of the catalog of {}: {} folders, {} links, {} other names, attributes of {} files, {} failed",
                catalog.time,
                catalog.folders,
                catalog.links,
                catalog.names,
                catalog.attributes,
                catalog.failed
            );
        }
        None if choice.catalog => line += "; there is no catalog",
        None => {}
    }
    line += &ending(summary.stopped.as_deref());
    screen.summary(&line, &summary);
    Ok(Ended::of(failed > 0).or_early(summary.stopped.is_some()))
}

/// Creates a folder for files that are not yet at their paths, and removes what an interrupted run left there.
fn prepare(folder: &Path) -> io::Result<()> {
    folder::create(folder)?;
    for left in fs::read_dir(folder)? {
        fs::remove_file(left?.path())?;
    }
    Ok(())
}

impl Recreator<'_> {
    /// Recreates every file that was chosen.
    fn all(&self) -> Result<Summary, Error> {
        let summary = Mutex::new(Summary {
            event: "summary",
            dry_run: self.choice.dry_run,
            ..Summary::default()
        });
        let keys = archives::all(self.stores, &self.choice.from)?;
        let until = self.choice.until.as_deref();
        let fed = parallel(
            AUTO,
            |give: &(dyn Fn(archives::Place) -> bool + Sync)| {
                let count = || lock(&summary).objects += 1;
                archives::last(keys, until, &count, &|key| !self.stops() && give(key))
            },
            &|place: archives::Place| {
                if !self.stops() {
                    self.one(&place, &summary);
                }
            },
        );
        fed.map_err(|error| Error::start("the list of objects", error))?;
        Ok(summary.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where the file with that gfid is created. There are 16 folders, because the kernel changes a folder for one thread
    /// at a time.
    fn staging(&self, gfid: &str) -> PathBuf {
        self.mount.root().join(STAGING).join(&gfid[..1]).join(gfid)
    }

    fn stops(&self) -> bool {
        interrupted() || self.outage.is_over()
    }

    /// Recreates one file, and counts and prints the outcome.
    fn one(&self, place: &archives::Place, summary: &Mutex<Summary>) {
        let key = place.key.as_str();
        let recreated = self.recreate(key, &place.store);
        let mut summary = lock(summary);
        match recreated {
            Ok(Done::Created(notes, path)) => {
                summary.created += 1;
                summary.bytes += notes.size;
                let event = Event::new(self.word, &path).bytes(notes.size).key(key);
                let event = match moment_of(key) {
                    Some(moment) => event.why(&format!("as archived on {moment}")),
                    None => event,
                };
                if self.choice.dry_run {
                    self.screen.always(&event);
                } else {
                    self.screen.event(&event);
                }
            }
            Ok(Done::ThereAlready) => summary.there_already += 1,
            Ok(Done::NotSelected) => summary.not_selected += 1,
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

    fn recreate(&self, key: &str, store: &str) -> Result<Done, Trouble> {
        let text = |error: io::Error| Trouble::Other(error.to_string());
        if self.exists(key).map_err(text)? {
            return Ok(Done::ThereAlready);
        }
        let is_it = |(name, _): &&Opened| stores::shown(name.as_deref()) == store;
        let (first, others): (Vec<_>, Vec<_>) = self.stores.iter().partition(is_it);
        let mut found = None;
        for (name, store) in first.into_iter().chain(others) {
            match store.describe(key) {
                Ok(described) => {
                    found = Some((name, described));
                    break;
                }
                // It was moved, and another one has it.
                Err(StoreError::Missing(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some((name, (object, metadata))) = found else {
            return Ok(Done::NotOurs);
        };
        self.outage.succeeded();
        let Some(notes) = Notes::of_metadata(&metadata) else {
            return Ok(Done::NotOurs);
        };
        let Some(path) = self.place(&notes)? else {
            return Ok(Done::NotSelected);
        };
        if object.size != notes.size {
            return Err(Trouble::Other(format!(
                "the object has {} bytes, but the file had {}",
                object.size, notes.size
            )));
        }
        let at = self.mount.root().join(&path);
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
        if !self.choice.dry_run {
            let stub = self.staging(&notes.gfid);
            let identity = matches!(self.choice.place, Place::Identity);
            let stored = Stored {
                store: name.as_deref(),
                key,
                checksum: None,
                holes: &notes.holes,
            };
            stub::make(&stub, &notes, &stored, identity)?;
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

    /// Whether the file that the object was made from exists, under whatever name, if that matters.
    fn exists(&self, key: &str) -> io::Result<bool> {
        let (Place::Identity, Some(key)) = (&self.choice.place, Key::parse(key)) else {
            return Ok(false);
        };
        match self.mount.by_gfid(key.gfid).symlink_metadata() {
            Ok(_) => Ok(true),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The path in the volume at which the file is recreated; `None` if it was not chosen.
    fn place(&self, notes: &Notes) -> Result<Option<PathBuf>, String> {
        let path = stub::place(notes)?;
        let Ok(below) = path.strip_prefix(&self.choice.under) else {
            return Ok(None);
        };
        Ok(Some(match &self.choice.place {
            Place::Path | Place::Identity => path,
            // The chosen path is the file's own.
            Place::Folder(folder) if below.as_os_str().is_empty() => {
                folder.join(path.file_name().unwrap_or_default())
            }
            Place::Folder(folder) => folder.join(below),
        }))
    }
}
