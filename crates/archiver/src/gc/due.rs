// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Deletes the objects that no file has referred to for long enough, in groups, several at once.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::judge::Verdict;
use super::{Candidate, Collector};
use crate::exit::Error;
use crate::interrupt::interrupted;
use crate::parallel::{AUTO, lock, parallel};
use crate::report::Event;

/// Objects that are examined again, and then deleted, together. Few, because a file may change in between.
const GROUP: usize = 25;

/// An object that no file refers to.
pub(super) struct Unreferenced<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) verdict: Verdict,
    /// When a run first saw that, in seconds since the epoch.
    pub(super) since: u64,
}

impl Unreferenced<'_> {
    fn seen(&self, now: u64) -> Duration {
        Duration::from_secs(now.saturating_sub(self.since))
    }

    fn judged(&self) -> (&str, Verdict) {
        (&self.candidate.key, self.verdict)
    }

    fn why(&self, now: u64, due: bool) -> String {
        let text = self.verdict.text();
        if due {
            return text.to_owned();
        }
        let seen = humantime::format_duration(self.seen(now));
        format!("{text}, first seen {seen} ago")
    }

    fn event(&self, what: &str, why: &str) -> Event {
        Event::new(what, Path::new(&self.candidate.key))
            .bytes(self.candidate.size)
            .why(why)
    }
}

impl Collector<'_> {
    /// Counts and prints unreferenced objects, deletes those that are due, and notes the others.
    pub(super) fn unreferenced(
        &self,
        objects: Vec<Unreferenced<'_>>,
        now: u64,
    ) -> Result<(), Error> {
        let mut due = Vec::new();
        for object in objects {
            let is_due = object.seen(now) >= self.args.grace;
            let mut summary = lock(&self.summary);
            summary.unreferenced += 1;
            summary.unreferenced_bytes += object.candidate.size;
            summary.waiting += u64::from(!is_due);
            drop(summary);
            if is_due && self.args.delete {
                due.push(object);
                continue;
            }
            let event = object.why(now, is_due);
            let event = object.event("unreferenced", &event);
            if self.args.delete {
                self.screen.event(&event);
            } else {
                self.screen.always(&event);
            }
            lock(&self.sightings).note(object.since, &object.candidate.key)?;
        }
        let noted = Mutex::new(Ok(()));
        let groups =
            |give: &(dyn Fn(usize) -> bool + Sync)| (0..due.len()).step_by(GROUP).all(give);
        parallel(AUTO, groups, &|start| {
            let group = &due[start..due.len().min(start + GROUP)];
            if let Err(error) = self.delete(group, now) {
                *lock(&noted) = Err(error);
            }
        });
        noted.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes a group of objects, and notes those that remain.
    fn delete(&self, group: &[Unreferenced<'_>], now: u64) -> Result<(), Error> {
        let objects: Vec<_> = group.iter().map(Unreferenced::judged).collect();
        let tried = !interrupted() && !self.outage.is_over();
        let mut errors = HashMap::new();
        if tried {
            errors.extend(self.judge.delete(&objects));
        }
        for (index, object) in group.iter().enumerate() {
            let why = object.why(now, true);
            match errors.remove(&index) {
                Some(error) => self.failed("not deleted", &object.candidate.key, &error),
                None if tried => {
                    self.outage.succeeded();
                    lock(&self.summary).deleted += 1;
                    self.screen.event(&object.event("deleted", &why));
                    continue;
                }
                None => self.screen.event(&object.event("unreferenced", &why)),
            }
            lock(&self.sightings).note(object.since, &object.candidate.key)?;
        }
        self.show();
        Ok(())
    }
}
