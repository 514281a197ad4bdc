// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync check`: whether this node has the right libraries ([`libraries`]), and whether a volume is set up well: its
//! options and bricks ([`options`]), its clients on this node ([`mounts`]), and its store ([`store`]).

use serde::Serialize;

use crate::cli::{CheckArgs, OutputFlags};
use crate::exit::{Ended, Error};
use crate::report::Screen;
use crate::volume::Volume;

mod libraries;
mod mounts;
mod options;
mod store;

/// Runs the command.
pub(crate) fn command(args: &CheckArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output);
    let installed = libraries::check(args.xlatordir.as_deref(), &screen)?;
    let Some(target) = &args.target else {
        return Ok(Ended::of(!installed));
    };
    let volume = Volume::of(target)?;
    let mut findings = Findings {
        screen: &screen,
        problems: 0,
    };
    options::check(&volume, &mut findings);
    mounts::check(&volume, &mut findings);
    store::check(&volume, &args.store, &mut findings);
    Ok(Ended::of(!installed || findings.problems > 0))
}

/// Prints what is found.
struct Findings<'a> {
    screen: &'a Screen,
    problems: u64,
}

/// What was found. The field names are the keys of the JSON output.
#[derive(Debug, Serialize)]
struct Finding<'a> {
    event: &'static str,
    /// What was checked.
    check: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'a str,
}

impl Findings<'_> {
    /// It is right.
    fn ok(&self, check: &str, what: &str) {
        self.say("ok", check, what);
    }

    /// It may be wrong, or could not be checked.
    fn note(&self, check: &str, why: &str) {
        self.say("note", check, why);
    }

    /// It is wrong; `why` also says what to do.
    fn problem(&mut self, check: &str, why: &str) {
        self.problems += 1;
        self.say("problem", check, why);
    }

    fn say(&self, event: &'static str, check: &str, why: &str) {
        if self.screen.wants_json() {
            return self.screen.json(&Finding { event, check, why });
        }
        let colon = if why.is_empty() { "" } else { ": " };
        let line = format!("{check}{colon}{why}");
        match event {
            "problem" => eprintln!("cloudsync: {line}"),
            event => self.screen.print(&format!("{event} {line}")),
        }
    }
}
