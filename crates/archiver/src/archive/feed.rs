// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Finds the files to archive and sorts them.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use cloudsync_format::pin::Pin;

use super::limits::Limits;
use super::tally::Tally;
use crate::cli::Order;
use crate::crawl::order::{Candidate, Sorter};
use crate::crawl::pins::Pins;
use crate::crawl::select::{Selection, used};
use crate::crawl::times::{nanoseconds, since};
use crate::crawl::{Found, State, crawl, is_gone};
use crate::report::{Event, Screen};
use crate::volume::Target;

/// The inputs of one crawl.
pub(super) struct Feed<'a> {
    pub(super) target: &'a Target,
    pub(super) selection: &'a Selection,
    pub(super) pins: &'a Pins,
    pub(super) order: Order,
    pub(super) tally: &'a Tally,
    pub(super) limits: &'a Limits,
    pub(super) screen: &'a Screen,
}

impl Feed<'_> {
    /// Passes every file to archive to `give`, until that returns false.
    pub(super) fn run(self, give: &(dyn Fn(Candidate) -> bool + Sync)) -> io::Result<()> {
        match self.order {
            Order::Found => {
                self.crawl(&|candidate| give(candidate));
                Ok(())
            }
            Order::Oldest | Order::Benefit => self.sorted(give),
        }
    }

    fn sorted(&self, give: &(dyn Fn(Candidate) -> bool + Sync)) -> io::Result<()> {
        let sorter = Mutex::new((Sorter::default(), Ok(())));
        let (files, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        self.crawl(&|candidate| {
            files.fetch_add(1, Ordering::Relaxed);
            bytes.fetch_add(candidate.size, Ordering::Relaxed);
            let mut sorter = sorter.lock().unwrap_or_else(PoisonError::into_inner);
            let added = sorter.0.add(candidate);
            let good = added.is_ok();
            if !good {
                sorter.1 = added;
            }
            good
        });
        let (sorter, added) = sorter.into_inner().unwrap_or_else(PoisonError::into_inner);
        added?;
        self.screen.expect(files.into_inner(), bytes.into_inner());
        for candidate in sorter.finish()? {
            if self.limits.enough(self.tally) || !give(candidate?) {
                break;
            }
        }
        Ok(())
    }

    fn crawl(&self, give: &(dyn Fn(Candidate) -> bool + Sync)) {
        let report_error = |path: &Path, why: &str| {
            self.tally.unreadable();
            self.screen
                .failure(&Event::new("cannot check", path).why(why));
        };
        let each = |found: Found| {
            self.tally.seen();
            self.screen.looking(|| self.tally.progress());
            let pin = match self.pins.of(&found.at) {
                Err(error) if !is_gone(&error) => {
                    report_error(&found.at, &error.to_string());
                    return true;
                }
                pin => pin.ok().flatten(),
            };
            match (found.state, self.selection.check(&found, pin)) {
                (State::Cold, _) => self.tally.cold(),
                (State::Between, _) => self.tally.between(),
                (State::Local, Err(why)) => self.tally.not_selected(why),
                (State::Local, Ok(())) => {
                    let candidate = Candidate {
                        rank: rank(self.order, &found),
                        path: found.path,
                        size: found.size,
                        soon: pin == Some(Pin::ArchiveSoon),
                    };
                    return !self.limits.enough(self.tally) && give(candidate);
                }
            }
            !self.limits.enough(self.tally)
        };
        crawl(self.target, &each, &report_error);
    }
}

/// Where the file stands in the order.
fn rank(order: Order, found: &Found) -> i128 {
    match order {
        Order::Oldest | Order::Found => nanoseconds(found.times.modified),
        // What its bytes would have saved since it was last used.
        Order::Benefit => {
            let unused = since(used(&found.times)) / 1_000_000_000;
            -(i128::from(found.size) * unused.max(0))
        }
    }
}
