// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync top`: what a mount's client is doing, again and again: files that come back, how fast, for whom, and how the
//! store answers.

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_format::command::METRICS;
use console::Term;

use crate::cli::{OutputFlags, TopArgs};
use crate::client;
use crate::exit::{Ended, Error};
use crate::interrupt::{interrupted, rest};
use crate::jobs::{self, Shown};
use crate::report::Screen;

mod frame;
mod samples;

use frame::{Frame, Look};
use samples::Samples;

/// How soon a client that was busy is asked again.
const STEP: Duration = Duration::from_millis(100);

/// Runs the command.
pub(crate) fn command(args: &TopArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let terminal = Term::stdout();
    let live = terminal.is_term() && !args.once && !screen.wants_json();
    let mut before: Option<Look> = None;
    let mut shown = 0;
    while !interrupted() {
        let now = match look(&args.mount) {
            Ok(now) => now,
            Err(_) if interrupted() => break,
            // The client was too busy to tell.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(STEP);
                continue;
            }
            Err(error) => return Err(Error::start(args.mount.display(), error)),
        };
        let frame = Frame::new(before.as_ref(), &now);
        // Rates need two looks.
        let first = before.is_none();
        if screen.wants_json() && !(first && args.once) {
            for job in &now.jobs {
                screen.json(&Shown::new(&args.mount, job));
            }
            screen.json(&frame.summary);
        } else if live {
            let (rows, columns) = terminal.size();
            let lines = frame.lines(&args.mount, columns.into(), rows.into());
            let drawn = terminal
                .clear_last_lines(shown)
                .and_then(|()| terminal.write_line(&lines.join("\n")));
            drawn.map_err(|error| Error::start("the terminal", error))?;
            shown = lines.len();
        } else if !(first && args.once) {
            screen.print(&frame.lines(&args.mount, WIDE, usize::MAX).join("\n"));
        }
        if args.once && !first {
            return Ok(Ended::Well);
        }
        before = Some(now);
        rest(args.interval, &interrupted);
    }
    Ok(Ended::Well)
}

/// Columns where there is no terminal.
const WIDE: usize = 120;

fn look(mount: &Path) -> io::Result<Look> {
    Ok(Look {
        at: Instant::now(),
        jobs: jobs::ask(mount)?,
        samples: Samples::parse(&client::ask_patiently(mount, METRICS)?),
    })
}
