// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync run --explain PATH`: why each rule would or would not archive a file.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::file::{Policy, Rule};
use crate::archive::free_percent;
use crate::crawl::pins::Pins;
use crate::crawl::select::{Explained, Selection};
use crate::crawl::{State, inspect, show};
use crate::exit::{Ended, Error};
use crate::report::Screen;
use crate::volume::Target;

/// What one rule makes of a file at one target. The field names are the keys of the JSON output.
#[derive(Debug, Serialize)]
struct Explanation {
    event: &'static str,
    path: String,
    rule: String,
    target: PathBuf,
    would_archive: bool,
    /// Why not, besides the conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    conditions: Vec<Explained>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.would_archive {
            "would archive it"
        } else {
            "would not archive it"
        };
        let Self { rule, target, .. } = self;
        write!(f, "{rule} at {}: {verb}", target.display())?;
        if let Some(why) = &self.why {
            write!(f, ": {why}")?;
        }
        for line in &self.conditions {
            let met = if line.met { "yes" } else { "no " };
            write!(f, "\n  {met} {}: {}", line.condition, line.found)?;
        }
        Ok(())
    }
}

/// Explains the file at `path`, for every rule and target that has it.
pub(super) fn explain(policy: &Policy, path: &Path, screen: &Screen) -> Result<Ended, Error> {
    let file = Target::find(path)?;
    let mut found = false;
    for rule in &policy.rules {
        let selection = Selection::new(&rule.select)?;
        for target in rule.targets.iter().filter(|target| target.exists()) {
            if let Some(explanation) = one(rule, &selection, target, &file)? {
                found = true;
                if screen.wants_json() {
                    screen.json(&explanation);
                } else {
                    screen.print(&explanation.to_string());
                }
            }
        }
    }
    if found {
        return Ok(Ended::Well);
    }
    Err(Error::Start(format!(
        "{}: no target of the policy on this node has this file",
        show(path)
    )))
}

/// `None` if the target does not have the file.
fn one(
    rule: &Rule,
    selection: &Selection,
    given: &Path,
    file: &Target,
) -> Result<Option<Explanation>, Error> {
    let target = Target::find(given)?;
    let in_volume = file.in_volume(&file.below);
    let Ok(below) = in_volume.strip_prefix(&target.above) else {
        return Ok(None);
    };
    if target.volume.id != file.volume.id || !below.starts_with(&target.below) {
        return Ok(None);
    }
    let at = target.root.join(below);
    let found = match inspect(&target, &at) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        found => found.map_err(|error| Error::start(at.display(), error))?,
    };
    let Some(found) = found else {
        return Ok(None);
    };
    let free = rule.start_below_free.zip(free_percent(given));
    let why = match (found.state, free) {
        (State::Cold, _) => Some("it is cold".to_owned()),
        (State::Between, _) => Some("it is being archived or recalled".to_owned()),
        (State::Local, Some((mark, free))) if free >= mark => {
            Some(format!("the rule does not run: {free:.0} % is free"))
        }
        _ => None,
    };
    let conditions = match found.state {
        State::Local => {
            let pin = Pins::new(&target.root, rule.select.pins).of(&found.at);
            let pin = pin.map_err(|error| Error::start(found.at.display(), error))?;
            selection.explain(&found, pin)
        }
        _ => Vec::new(),
    };
    Ok(Some(Explanation {
        event: "explained",
        path: show(&in_volume),
        rule: rule.name.clone(),
        target: given.to_owned(),
        would_archive: why.is_none() && conditions.iter().all(|line| line.met),
        why,
        conditions,
    }))
}
