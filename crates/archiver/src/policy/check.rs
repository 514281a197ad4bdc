// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync run --check`: what a policy, whose file is known to be sound, would work on here.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Part;
use super::file::Policy;
use crate::exit::{Ended, Error};
use crate::report::Screen;
use crate::volume::{Kind, Target};

/// What is at a target. The field names are the keys of the JSON output.
#[derive(Debug, Serialize)]
struct Place {
    event: &'static str,
    step: &'static str,
    rule: String,
    target: PathBuf,
    is: String,
}

/// Prints what is at each target.
///
/// # Errors
/// One of them exists, and is in no volume.
pub(super) fn check(policy: &Policy, screen: &Screen) -> Result<Ended, Error> {
    let mut wrong = None;
    for part in policy.parts() {
        let (step, rule) = part.names();
        for target in part.targets() {
            let is = place(&part, target).unwrap_or_else(|error| {
                let text = format!("wrong: {error}");
                wrong = Some(error);
                text
            });
            let place = Place {
                event: "target",
                step,
                rule: rule.to_owned(),
                target: target.clone(),
                is,
            };
            if screen.wants_json() {
                screen.json(&place);
            } else {
                let target = target.display();
                screen.print(&format!("{step} {rule} at {target}: {}", place.is));
            }
        }
    }
    wrong.map_or(Ok(Ended::Well), Err)
}

fn place(part: &Part<'_>, target: &Path) -> Result<String, Error> {
    if !target.exists() {
        return Ok("not on this node".to_owned());
    }
    let found = Target::find(target)?;
    let name = &found.volume.name;
    if matches!(part, Part::Rule(_)) && !found.volume.archives() {
        let why = format!("features.cloudsync of volume {name} is off");
        return Err(Error::start(target.display(), why));
    }
    let kind = match found.kind {
        Kind::Brick => "a brick",
        Kind::Mount => "a mount",
    };
    Ok(format!("{kind} of volume {name}"))
}
