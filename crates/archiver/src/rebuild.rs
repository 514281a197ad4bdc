// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync rebuild`: recreates the cold files of a lost volume from the objects in its store.

use std::path::PathBuf;

use cloudsync_format::object::is_uuid;

use crate::cli::{OutputFlags, RebuildArgs};
use crate::exit::{Ended, Error};
use crate::recreate::{Choice, Place, Words, recreate};
use crate::report::Screen;
use crate::volume::Target;

const WORDS: Words = Words {
    done: "created",
    would: "would create",
};

/// Runs the command and prints its summary.
pub(crate) fn command(args: &RebuildArgs, output: &OutputFlags) -> Result<Ended, Error> {
    if !is_uuid(&args.from) {
        return Err(Error::Usage(format!(
            "--from {}: not the id of a volume; use the first part of the keys in the bucket",
            args.from
        )));
    }
    let screen = Screen::new(output).about("objects", WORDS.done);
    let target = Target::find(&args.target)?;
    let choice = Choice {
        from: args.from.clone(),
        under: PathBuf::new(),
        until: None,
        place: Place::Path,
        dry_run: args.dry_run,
        catalog: !args.no_catalog,
    };
    recreate(&target.volume, &args.store, &choice, &screen, WORDS)
}
