// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync pin`, `unpin` and `pins`: set, remove and list what users want for files and folders
//! ([`cloudsync_format::pin`]). Root's pins are its own; others set and remove those of owners.

use std::io;
use std::path::Path;

use cloudsync_format::pin::{OF_OWNERS, OF_ROOT, Pin};
use ignore::WalkBuilder;
use serde::Serialize;

use crate::cli::{OutputFlags, PathsArgs, PinArgs};
use crate::crawl::{pins, show, text};
use crate::exit::{Ended, Error};
use crate::interrupt::interrupted;
use crate::report::{Event, Screen};
use crate::volume::name_of;

/// A pin that was found. The field names are the keys of the JSON output.
#[derive(Debug, Serialize)]
struct Found {
    event: &'static str,
    path: String,
    policy: &'static str,
    by: &'static str,
}

fn name() -> &'static str {
    text(match rustix::process::geteuid().is_root() {
        true => OF_ROOT,
        false => OF_OWNERS,
    })
}

/// Runs `cloudsync pin`.
pub(crate) fn pin(args: &PinArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let pin: Pin = args.policy.into();
    each(&args.paths, output, "pinned", |path| {
        xattr::set(path, name(), pin.text().as_bytes())
    })
}

/// Runs `cloudsync unpin`. A path without a pin is no error. Root removes the owner's, too.
pub(crate) fn unpin(args: &PathsArgs, output: &OutputFlags) -> Result<Ended, Error> {
    each(&args.paths, output, "unpinned", |path| {
        let ours = name();
        for name in [OF_ROOT, OF_OWNERS].map(text) {
            let may = name == ours || ours == text(OF_ROOT);
            if may && xattr::get(path, name)?.is_some() {
                xattr::remove(path, name)?;
            }
        }
        Ok(())
    })
}

/// Does something with each path, which must be in a volume: elsewhere no archiver would look at it.
fn each(
    paths: &[std::path::PathBuf],
    output: &OutputFlags,
    done: &'static str,
    act: impl Fn(&Path) -> io::Result<()>,
) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let mut failed = false;
    for path in paths {
        name_of(path)?;
        match act(path) {
            Ok(()) => screen.event(&Event::new(done, path)),
            Err(error) => {
                failed = true;
                screen.failure(&Event::new("failed", path).why(&error.to_string()));
            }
        }
    }
    Ok(Ended::of(failed))
}

/// Runs `cloudsync pins`: all pins at and below the paths.
pub(crate) fn list(args: &PathsArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let mut failed = false;
    for path in &args.paths {
        name_of(path)?;
        let mut walk = WalkBuilder::new(path);
        walk.standard_filters(false).follow_links(false);
        for entry in walk.build() {
            if interrupted() {
                return Ok(Ended::Interrupted);
            }
            let entry = match entry {
                Ok(entry) if entry.path_is_symlink() => continue,
                Ok(entry) => entry,
                Err(error) => {
                    failed = true;
                    screen.failure(&Event::new("cannot check", path).why(&error.to_string()));
                    continue;
                }
            };
            for (name, by) in [(OF_ROOT, "root"), (OF_OWNERS, "owner")] {
                match pins::read(entry.path(), &[text(name)]) {
                    Ok(None) => {}
                    Ok(Some(pin)) => {
                        let found = Found {
                            event: "pin",
                            path: show(entry.path()),
                            policy: pin.text(),
                            by,
                        };
                        if screen.wants_json() {
                            screen.json(&found);
                        } else {
                            screen.print(&format!("{} {} ({by})", found.path, found.policy));
                        }
                    }
                    Err(error) => {
                        failed = true;
                        let event = Event::new("cannot check", entry.path());
                        screen.failure(&event.why(&error.to_string()));
                    }
                }
            }
        }
    }
    Ok(Ended::of(failed))
}
