// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The steps of a policy besides archiving: `[[restore]]`, `[[migrate]]`, `[[verify]]`, `[[gc]]` and `[[catalog]]`, which do what the
//! commands of these names do. Of several nodes with the same policy, one does a step ([`turn`]).

use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cloudsync_format::checksum::Algorithm;
use serde::Serialize;
use serde_json::Value;

use super::turn::{self, Pause};
use crate::catalog;
use crate::cli::{
    CatalogArgs, GcArgs, MigrateArgs, RestoreArgs, StoreChoice, StoreFlags, Tier, VerifyArgs,
};
use crate::exit::{Ended, Error};
use crate::gc;
use crate::migrate;
use crate::report::Screen;
use crate::restore;
use crate::verify;
use crate::volume::mount::Mount;
use crate::volume::{Kind, Target};

/// `gc` records on its node since when objects have been unreferenced, and starts over on another one. So it stays where it
/// was, unless that node has not done it for so long.
const ELSEWHERE: Duration = Duration::from_secs(14 * 24 * 3600);

/// A step, and where it is done.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) targets: Vec<PathBuf>,
    /// It is not done again before this long after its last end.
    pub(super) every: Duration,
    pub(super) action: Action,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Asks the store to restore the objects of cold files.
    Restore {
        days: Option<u32>,
        tier: Option<Tier>,
    },
    /// Checks the objects of cold files.
    Verify { deep: bool, rate: Option<u64> },
    /// Finds unreferenced objects, and deletes them.
    Gc {
        store: Option<String>,
        grace: Duration,
        delete: bool,
    },
    /// Moves the objects of cold files from one store to another.
    Migrate {
        from: String,
        to: String,
        archived_before: Option<Duration>,
        rate: Option<u64>,
    },
    /// Stores a catalog of the volume.
    Catalog { keep: u16 },
}

/// What a step at one target came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Not done, and why.
    Skipped(String),
    /// Done, as a line for people and as the command's JSON output.
    Done(String, Value, Ended),
}

impl Step {
    /// The name of the command that does the same.
    pub(super) const fn command(&self) -> &'static str {
        match self.action {
            Action::Restore { .. } => "restore",
            Action::Verify { .. } => "verify",
            Action::Gc { .. } => "gc",
            Action::Migrate { .. } => "migrate",
            Action::Catalog { .. } => "catalog",
        }
    }

    /// Does the step at one target, if it is due and no other node does it.
    pub(super) fn run(
        &self,
        target: &Path,
        store: &StoreFlags,
        jobs: u16,
        screen: &Screen,
    ) -> Result<Outcome, Error> {
        let found = Target::find(target)?;
        let mount = Mount::new(&found.volume)?;
        let pause = Pause {
            every: self.every,
            elsewhere: match self.action {
                Action::Gc { .. } => ELSEWHERE.max(2 * self.every),
                _ => Duration::ZERO,
            },
        };
        let turn = match turn::take(mount.root(), &self.about(&found), pause)? {
            Ok(turn) => turn,
            Err(why) => return Ok(Outcome::Skipped(why)),
        };
        let own = StoreChoice::of(None, store);
        let store = store.clone();
        let target = target.to_owned();
        let outcome = match self.action.clone() {
            Action::Restore { days, tier } => Outcome::told(restore::run(
                &RestoreArgs {
                    paths: vec![target],
                    days,
                    tier,
                    wait: false,
                    dry_run: false,
                    jobs,
                    store,
                },
                screen,
            )?),
            Action::Verify { deep, rate } => Outcome::told(verify::run(
                &VerifyArgs {
                    target,
                    deep,
                    // A run of this node that was cut off left its turn to this one.
                    resume: turn.was_ours,
                    adopt: false,
                    bytes_per_second: rate,
                    jobs,
                    store,
                },
                screen,
            )?),
            Action::Gc {
                store: name,
                grace,
                delete,
            } => Outcome::told(gc::run(
                &GcArgs {
                    target,
                    grace,
                    delete,
                    also: Vec::new(),
                    ignore_snapshot: Vec::new(),
                    state_dir: None,
                    fresh: !turn.was_ours,
                    store: StoreChoice::of(name.as_deref(), &store),
                },
                screen,
            )?),
            Action::Migrate {
                from,
                to,
                archived_before,
                rate,
            } => Outcome::told(migrate::run(
                &MigrateArgs {
                    target,
                    from,
                    to,
                    archived_before,
                    dry_run: false,
                    bytes_per_second: rate,
                    jobs,
                    store,
                },
                screen,
            )?),
            Action::Catalog { keep } => Outcome::told(catalog::run(
                &CatalogArgs {
                    target,
                    keep,
                    store: own,
                },
                screen,
            )?),
        };
        // A step that was cut off is left to whoever runs the policy next.
        if let Outcome::Done(_, _, Ended::Well | Ended::WithFailures) = outcome {
            turn.end()?;
        }
        Ok(outcome)
    }

    /// What the nodes call the step at a target: `gc` and `catalog` are about the whole volume; else bricks with the same files are one.
    fn about(&self, target: &Target) -> String {
        let mut about = format!("{}.{}", self.command(), self.name);
        if matches!(self.action, Action::Gc { .. } | Action::Catalog { .. }) {
            return about;
        }
        if target.kind == Kind::Brick
            && let Some(set) = target.volume.set_of(&target.root)
        {
            about += &format!(".{set}");
        }
        let path = target.in_volume(&target.below);
        if !path.as_os_str().is_empty() {
            // An attribute's name is at most 255 bytes long.
            let short = Algorithm::Crc64Nvme.of(path.as_os_str().as_bytes());
            about += &format!(".{}", short.base64());
        }
        about
    }
}

impl Outcome {
    /// What a command has returned.
    pub(super) fn told<S: Serialize + Display>((summary, ended): (S, Ended)) -> Self {
        let json = serde_json::to_value(&summary).unwrap_or_default();
        Self::Done(summary.to_string(), json, ended)
    }
}
