// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync migrate`: moves the objects of cold files from one of the volume's stores to another.
//!
//! ```text
//! crawl -> cold, and in store FROM -> object copied to TO, under the same key -> the translator compares it with the
//! file's record, under the file's lock, and changes the record -> later: gc of FROM
//! ```
//!
//! Until the record changes the file is read from FROM, afterwards from TO, and both have its bytes. So a run can be killed
//! at any time, and the next one goes on: it finds the files whose record still names FROM, and the copies that are there.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use cloudsync_format::{command, stores};
use cloudsync_store::{Archive, Checksum, Rate, StoreError, Upload};
use serde::Serialize;

use crate::archive::bytes_per_second;
use crate::cli::{MigrateArgs, OutputFlags};
use crate::crawl::{Found, Marks, State, crawl, gfid, marks, text};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::lock::Lock;
use crate::outage::{Outage, Trouble, ending};
use crate::parallel::{add, parallel};
use crate::remote::{Stores, apart};
use crate::report::{Event, Progress, Screen, human};
use crate::volume::mount::Mount;
use crate::volume::{Target, folder};

mod object;

use object::Elsewhere;

/// The result of a run. The field names are the keys of the JSON output.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    event: &'static str,
    dry_run: bool,
    /// Files whose objects are in the other store now, or would be.
    moved: u64,
    bytes: u64,
    /// Of them, those whose objects were there already.
    there_already: u64,
    /// Recalled, or archived again, meanwhile.
    changed: u64,
    failed: u64,
    stopped: Option<String>,
}

/// Counters of a run.
#[derive(Debug, Default)]
struct Tally {
    moved: AtomicU64,
    bytes: AtomicU64,
    there_already: AtomicU64,
    changed: AtomicU64,
    failed: AtomicU64,
}

/// Runs the command and prints its summary.
pub(crate) fn command(args: &MigrateArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output).about("cold files", "moved");
    let (summary, ended) = run(args, &screen)?;
    screen.summary(&summary.to_string(), &summary);
    Ok(ended)
}

/// Moves the objects of all cold files of the target that are in the one store to the other.
pub(crate) fn run(args: &MigrateArgs, screen: &Screen) -> Result<(Summary, Ended), Error> {
    let name = |text: &str| stores::parse(text).map_err(|why| Error::Usage(why.to_owned()));
    let (from, to) = (name(&args.from)?, name(&args.to)?);
    if from == to {
        return Err(Error::Usage(format!(
            "--from {0} --to {0}: that is one store",
            args.from
        )));
    }
    let target = Target::find(&args.target)?;
    let volume = &target.volume;
    let all = Stores::open(volume, &args.store)?;
    let open = |name: &Option<String>| all.of(name.as_deref()).map_err(Error::Start);
    let (source, destination) = (open(&from)?, open(&to)?);
    // `gc` has it alone: it must not delete a copy that no file names yet.
    let _lock = Lock::share(&folder::of(volume))?;
    if !args.dry_run {
        apart::from_others(volume, &all, to.as_deref(), std::slice::from_ref(&from))?;
    }
    let mount = Mount::new(volume)?;
    let mover = Mover {
        target: &target,
        mount: &mount,
        from: from.as_deref(),
        to: to.as_deref(),
        source,
        destination,
        rate: args.bytes_per_second.map(bytes_per_second),
        args,
        tally: Tally::default(),
        outage: Outage::default(),
        screen,
    };
    let cannot_read = |path: &Path, why: &str| mover.fails(path, "", why);
    parallel::<Found, ()>(
        args.jobs,
        |give| {
            let each = |found: Found| {
                let cold = found.state == State::Cold;
                (!cold || give(found)) && !mover.ends()
            };
            crawl(&target, &each, &cannot_read);
        },
        &|found| mover.one(&found),
    );
    let summary = mover.summary();
    let ended = Ended::of(summary.failed > 0).or_early(summary.stopped.is_some());
    Ok((summary, ended))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.dry_run { "would move" } else { "moved" };
        write!(
            f,
            "{verb} the objects of {} files, {} ({} were there already); {} files changed meanwhile, {} failed{}",
            self.moved,
            human(self.bytes),
            self.there_already,
            self.changed,
            self.failed,
            ending(self.stopped.as_deref())
        )
    }
}

/// What became of a file.
enum Done {
    Moved {
        was_there: bool,
    },
    /// It is not cold any more, or has another object.
    Changed,
    /// Its object is in another store than that to move from, or it is too young.
    NotWanted,
}

struct Mover<'a> {
    target: &'a Target,
    mount: &'a Mount,
    from: Option<&'a str>,
    to: Option<&'a str>,
    source: Arc<dyn Archive>,
    destination: Arc<dyn Archive>,
    rate: Option<Arc<Rate>>,
    args: &'a MigrateArgs,
    tally: Tally,
    outage: Outage,
    screen: &'a Screen,
}

impl Mover<'_> {
    fn ends(&self) -> bool {
        interrupted() || self.outage.is_over()
    }

    fn fails(&self, path: &Path, key: &str, why: &str) {
        add(&self.tally.failed, 1);
        let event = Event::new("failed", path).why(why);
        let event = match key {
            "" => event,
            key => event.key(key),
        };
        self.screen.failure(&event);
    }

    fn summary(&self) -> Summary {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let tally = &self.tally;
        Summary {
            event: "summary",
            dry_run: self.args.dry_run,
            moved: get(&tally.moved),
            bytes: get(&tally.bytes),
            there_already: get(&tally.there_already),
            changed: get(&tally.changed),
            failed: get(&tally.failed),
            stopped: self.outage.why(),
        }
    }

    /// Moves one file's object, and counts and prints the outcome.
    fn one(&self, found: &Found) {
        // Found before the run began to stop.
        if self.ends() {
            return;
        }
        let marks = match marks(&found.at) {
            Ok(Some(marks)) => marks,
            // Recalled since it was crawled.
            Ok(None) => return,
            Err(error) => return self.fails(&found.path, "", &error.to_string()),
        };
        let tally = &self.tally;
        match self.move_one(found, &marks) {
            Ok(Done::Moved { was_there }) => {
                add(&tally.moved, 1);
                add(&tally.bytes, found.size);
                add(&tally.there_already, u64::from(was_there));
                let event = |what| Event::new(what, &found.path).bytes(found.size);
                if self.args.dry_run {
                    self.screen.always(&event("would move").key(&marks.key));
                } else {
                    self.outage.succeeded();
                    self.screen.event(&event("moved").key(&marks.key));
                }
            }
            Ok(Done::Changed) => add(&tally.changed, 1),
            Ok(Done::NotWanted) | Err(Trouble::Store(StoreError::Cancelled)) => {}
            // JSON output reports every failed file, even those that fail because the run is stopping.
            Err(trouble) => {
                if self.outage.counts(&trouble) || self.screen.wants_json() {
                    self.fails(&found.path, &marks.key, &trouble.to_string());
                } else {
                    add(&tally.failed, 1);
                }
            }
        }
        self.screen.looking(|| {
            let now = self.summary();
            Progress {
                seen: now.moved + now.changed + now.failed,
                done: now.moved,
                failed: now.failed,
            }
        });
    }

    fn move_one(&self, found: &Found, marks: &Marks) -> Result<Done, Trouble> {
        let is_young = self.args.archived_before.is_some_and(|age| {
            let before = SystemTime::now().checked_sub(age);
            let before = before.and_then(|then| then.duration_since(SystemTime::UNIX_EPOCH).ok());
            let before = before.unwrap_or_default().as_secs();
            found.archived.is_none_or(|archived| archived > before)
        });
        if is_young || marks.store() != self.from {
            return Ok(Done::NotWanted);
        }
        let gfid = gfid(self.target, &found.at).map_err(|error| error.to_string())?;
        let checksum = marks.checksum_of(&gfid).ok_or_else(|| {
            "it has no record of its own with a checksum, by which the copy could be proven: recall it, and archive it to the \
             other store"
                .to_owned()
        })?;
        if self.args.dry_run {
            return Ok(Done::Moved { was_there: false });
        }
        let was_there = self.copy(&marks.key, found.size, checksum)?;
        let file = self.mount.by_gfid(&gfid);
        let value = format!("store={}", stores::shown(self.to));
        match xattr::set(file, text(command::MOVE), value.as_bytes()) {
            Ok(()) => Ok(Done::Moved { was_there }),
            Err(error) => self.refused(&error),
        }
    }

    /// Copies the object, unless it is there. Returns whether it was.
    fn copy(&self, key: &str, size: u64, checksum: Checksum) -> Result<bool, Trouble> {
        if self.has(key, size, checksum)? {
            return Ok(true);
        }
        let (object, metadata) = self.source.describe(key)?;
        let other = |sum: Checksum| sum.algorithm() == checksum.algorithm() && sum != checksum;
        if object.size != size || object.checksum.is_some_and(other) {
            let from = stores::shown(self.from);
            return Err(Trouble::Other(format!(
                "its object in store '{from}' is not the file's: see cloudsync verify"
            )));
        }
        let elsewhere = Elsewhere::new(self.source.as_ref(), key, &object);
        let upload = Upload {
            size,
            checksum,
            metadata: &metadata,
            source: &elsewhere,
            rate: self.rate.as_ref(),
            resumable: true,
        };
        match self.destination.put(key, &upload) {
            Ok(_) => Ok(false),
            // By another run, on another node.
            Err(StoreError::Exists(_)) if self.has(key, size, checksum)? => Ok(true),
            Err(error) => Err(elsewhere.failure().unwrap_or(error).into()),
        }
    }

    /// Whether the destination has the object. Fails if it has another one under the key.
    fn has(&self, key: &str, size: u64, checksum: Checksum) -> Result<bool, Trouble> {
        match self.destination.head(key) {
            Ok(there) if there.size == size && there.checksum == Some(checksum) => Ok(true),
            Ok(_) => Err(Trouble::Other(format!(
                "store '{}' has another object under its key {key}",
                stores::shown(self.to)
            ))),
            Err(StoreError::Missing(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What the translator's errno means. What all files would meet ends the run.
    fn refused(&self, error: &std::io::Error) -> Result<Done, Trouble> {
        use rustix::io::Errno;
        let why = match Errno::from_io_error(error) {
            // Recalled or removed meanwhile, or archived again: then it has an object that was not copied.
            Some(Errno::ALREADY | Errno::AGAIN | Errno::NOENT | Errno::STALE | Errno::NODATA) => {
                return Ok(Done::Changed);
            }
            Some(Errno::BADMSG) => "the translator finds another object in the other store",
            Some(Errno::REMOTE) => {
                "the clients of this node do not have the other store: see the client's log"
            }
            Some(Errno::OPNOTSUPP) => "this node's translator is too old to move objects",
            _ => return Err(Trouble::Other(format!("recording the store: {error}"))),
        };
        let why = format!("{why} ({error})");
        if !matches!(Errno::from_io_error(error), Some(Errno::BADMSG)) {
            self.outage.stop(why.clone());
        }
        Err(Trouble::Other(why))
    }
}
