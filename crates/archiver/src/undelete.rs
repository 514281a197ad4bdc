// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync undelete`: recreates cold files that were removed, or what files were at some time, from objects that `gc`
//! has not deleted yet.

use std::path::{Component, Path, PathBuf, absolute};

use crate::archive::stamp;
use crate::cli::{OutputFlags, UndeleteArgs};
use crate::exit::{Ended, Error};
use crate::recreate::{Choice, Place, Words, recreate};
use crate::report::Screen;
use crate::volume::{Target, Volume};

const WORDS: Words = Words {
    done: "undeleted",
    would: "would undelete",
};

/// Runs the command and prints its summary.
pub(crate) fn command(args: &UndeleteArgs, output: &OutputFlags) -> Result<Ended, Error> {
    let screen = Screen::new(output).about("objects", WORDS.done);
    let (volume, under) = find(&args.path)?;
    let place = match &args.to {
        None => Place::Identity,
        Some(to) => {
            let target = Target::find(to)?;
            if target.volume.id != volume.id {
                let (to, name) = (to.display(), &volume.name);
                return Err(Error::Usage(format!("--to {to}: not in volume {name}")));
            }
            if !to.is_dir() {
                return Err(Error::Usage(format!("--to {}: not a folder", to.display())));
            }
            Place::Folder(target.in_volume(&target.below))
        }
    };
    let choice = Choice {
        from: volume.id.clone(),
        under,
        until: args.as_of.map(stamp),
        place,
        dry_run: args.dry_run,
        catalog: false,
    };
    recreate(&volume, &args.store, &choice, &screen, WORDS)
}

/// The volume of a path that may not exist any more, and the path from the volume's root.
fn find(path: &Path) -> Result<(Volume, PathBuf), Error> {
    let failed = |error: std::io::Error| Error::start(path.display(), error);
    let full = absolute(path).map_err(failed)?;
    // A link above it is followed, as far as there is anything.
    let above = full.ancestors().find(|above| above.exists());
    let above = above.unwrap_or(Path::new("/"));
    let below = full.strip_prefix(above).unwrap_or(&full);
    if below.components().any(|part| part == Component::ParentDir) {
        return Err(Error::Usage(format!(
            "{}: .. after a folder that does not exist",
            path.display()
        )));
    }
    let target = Target::find(above)?;
    let found = target.in_volume(&target.below).join(below);
    // Joining nothing adds a slash.
    Ok((target.volume, found.components().collect()))
}
