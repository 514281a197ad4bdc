// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync gc`: objects that no file refers to.
//!
//! Every object names its file by gfid, and our mount shows files by gfid, so each object is one question and nothing
//! is collected in memory. What cannot be seen is not gone: nothing is deleted while a brick is out of reach, and the
//! question is asked once more right before the object is deleted.

use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cloudsync_format::object::{Key, Notes};
use cloudsync_store::{Archive, Listed, StoreError};
use serde::Serialize;

use crate::archive::seen;
use crate::cli::{GcArgs, OutputFlags};
use crate::crawl::marks;
use crate::crawl::select::is_older;
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::remote;
use crate::report::{Event, Progress, Screen, human};
use crate::volume::Target;
use crate::volume::mount::Mount;

/// A file that was touched since may be in somebody's hands: its objects are left alone.
const TOUCHED: Duration = Duration::from_secs(86_400);

#[derive(Debug, Default, Serialize)]
struct Summary {
    event: &'static str,
    objects: u64,
    unreferenced: u64,
    unreferenced_bytes: u64,
    deleted: u64,
    young: u64,
    unfinished_uploads: u64,
    failed: u64,
}

/// Why an object may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    NoFile,
    OtherObject,
    Modified,
}

impl Verdict {
    const fn text(self) -> &'static str {
        match self {
            Self::Keep => "it is in use",
            Self::NoFile => "its file is gone",
            Self::OtherObject => "its file is cold with another object",
            Self::Modified => "its file was modified since",
        }
    }
}

struct Collector<'a> {
    mount: &'a Mount,
    store: &'a dyn Archive,
    args: &'a GcArgs,
    screen: &'a Screen,
    touched: Duration,
}

/// The command.
pub(crate) fn command(args: &GcArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let target = Target::find(&args.target)?;
    let store = remote::open(&target.volume, &args.store)?;
    let mount = Mount::new(&target.volume)?;
    let collector = Collector {
        mount: &mount,
        store: store.as_ref(),
        args,
        screen: &screen,
        touched: TOUCHED.min(args.grace),
    };
    if args.delete {
        collector
            .all_bricks_there()
            .map_err(|why| Error::start("nothing is deleted", why))?;
    }
    let prefix = format!("{}/", target.volume.id);
    let mut summary = Summary {
        event: "summary",
        ..Summary::default()
    };
    let listed = store.list(&prefix, &mut |object| {
        collector.look(&object, &mut summary);
        screen.looking(|| Progress {
            seen: summary.objects,
            done: summary.unreferenced,
            failed: 0,
        });
        if interrupted() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let place = |error: StoreError| Error::start(format!("volume {}", target.volume.name), error);
    listed.map_err(place)?;
    let unfinished = store
        .unfinished(&prefix, args.grace, args.delete)
        .map_err(place)?;
    summary.unfinished_uploads = unfinished.len() as u64;
    for key in unfinished {
        screen.event(&Event::new("unfinished upload", Path::new(&key)));
    }
    let line = format!(
        "{} objects: {} without a file ({}), {} deleted, {} failed; {} too young to be judged; {} unfinished uploads{}",
        summary.objects,
        summary.unreferenced,
        human(summary.unreferenced_bytes),
        summary.deleted,
        summary.failed,
        summary.young,
        summary.unfinished_uploads,
        if args.delete { " removed" } else { "" }
    );
    screen.summary(&line, &summary);
    Ok(Ended::of(summary.failed > 0))
}

impl Collector<'_> {
    fn look(&self, object: &Listed, summary: &mut Summary) {
        let Some(key) = Key::parse(&object.key) else {
            return;
        };
        summary.objects += 1;
        let age = SystemTime::now()
            .duration_since(object.modified)
            .unwrap_or_default();
        if age < self.args.grace {
            summary.young += 1;
            return;
        }
        let path = Path::new(&object.key);
        match self.judge(&object.key, key.gfid) {
            Ok(Verdict::Keep) => {}
            Ok(verdict) => {
                summary.unreferenced += 1;
                summary.unreferenced_bytes += object.size;
                let event = |what| {
                    Event::new(what, path)
                        .bytes(object.size)
                        .why(verdict.text())
                };
                if !self.args.delete {
                    self.screen.always(&event("unreferenced"));
                    return;
                }
                match self.delete(&object.key, key.gfid, verdict) {
                    Ok(()) => {
                        summary.deleted += 1;
                        self.screen.event(&event("deleted"));
                    }
                    Err(why) => {
                        summary.failed += 1;
                        self.screen
                            .failure(&Event::new("not deleted", path).why(&why));
                    }
                }
            }
            Err(why) => {
                summary.failed += 1;
                self.screen
                    .failure(&Event::new("cannot judge", path).why(&why));
            }
        }
    }

    fn judge(&self, key: &str, gfid: &str) -> Result<Verdict, String> {
        let file = self.mount.by_gfid(gfid);
        let say = |error: io::Error| error.to_string();
        let data = match file.symlink_metadata() {
            Ok(data) => data,
            Err(error) if is_gone(&error) => {
                self.all_bricks_there()?;
                return Ok(Verdict::NoFile);
            }
            Err(error) => return Err(say(error)),
        };
        if let Some(marks) = marks(&file).map_err(say)? {
            if marks.key == key {
                return Ok(Verdict::Keep);
            }
            return Ok(self.unless_touched(&data, Verdict::OtherObject));
        }
        let now = seen(&data);
        let notes = match self.store.describe(key) {
            Ok((_, metadata)) => Notes::of_metadata(&metadata),
            Err(StoreError::Missing(_)) => return Ok(Verdict::Keep),
            Err(error) => return Err(error.to_string()),
        };
        if notes.is_some_and(|notes| notes.size == now.size && notes.mtime == now.mtime) {
            return Ok(Verdict::Keep);
        }
        Ok(self.unless_touched(&data, Verdict::Modified))
    }

    fn unless_touched(&self, data: &std::fs::Metadata, verdict: Verdict) -> Verdict {
        let nanos = u32::try_from(data.ctime_nsec()).unwrap_or(0);
        if is_older(data.ctime(), nanos, self.touched) {
            verdict
        } else {
            Verdict::Keep
        }
    }

    fn delete(&self, key: &str, gfid: &str, before: Verdict) -> Result<(), String> {
        let now = self.judge(key, gfid)?;
        if now != before {
            return Err(format!(
                "a moment ago {}, now {}",
                before.text(),
                now.text()
            ));
        }
        self.store.delete(key).map_err(|error| error.to_string())
    }

    fn all_bricks_there(&self) -> Result<(), String> {
        match self.mount.lost_bricks() {
            Ok(0) => Ok(()),
            Ok(lost) => Err(format!(
                "{lost} bricks cannot be reached: what lies on them is not gone"
            )),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    let stale = rustix::io::Errno::STALE;
    error.kind() == io::ErrorKind::NotFound
        || rustix::io::Errno::from_io_error(error) == Some(stale)
}
