// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The arguments of `cloudsync undelete`.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;

use super::StoreChoice;
use super::values::moment;

/// `cloudsync undelete`
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(crate) struct UndeleteArgs {
    /// A removed file, or a folder with removed files, in a mount or a brick
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// What files were at this time: a day or a time in UTC (2026-11-20, 2026-11-20T18:30:00Z), or how long ago (7d)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) as_of: Option<SystemTime>,
    /// Create copies in this folder of the volume, also of files that still exist
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) to: Option<PathBuf>,
    /// Only list the files that would be created
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Which store.
    #[command(flatten)]
    pub(crate) store: StoreChoice,
}

const HELP: &str = "\
The files are cold, with the bytes, owner, mode and times with which they were archived, and at the paths at which they were \
archived. A file that was archived and then recalled and changed comes back as it was archived last. Files that were never \
archived do not come back, nor those whose objects `cloudsync gc --delete` has deleted.

Without --to, only files that no longer exist are created, also not under another name, and nothing is ever replaced.";
