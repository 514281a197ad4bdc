// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Options of `cloudsync migrate`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::StoreFlags;
use super::values::{bytes, duration, jobs, store};

/// `cloudsync migrate`
#[derive(Args, Clone, Debug)]
#[command(after_long_help = MIGRATE_HELP)]
pub(crate) struct MigrateArgs {
    /// A brick, a mount, or a directory in one
    #[arg(value_name = "BRICK|MOUNT")]
    pub(crate) target: PathBuf,
    /// The store that has the objects: a name in features.cloudsync-store-id, or "default" for the volume's own
    #[arg(long, value_name = "NAME", value_parser = store)]
    pub(crate) from: String,
    /// The store that is to have them, in the same way
    #[arg(long, value_name = "NAME", value_parser = store)]
    pub(crate) to: String,
    /// Only files that were archived longer ago than this: 90d
    #[arg(long, value_name = "AGE", value_parser = duration)]
    pub(crate) archived_before: Option<Duration>,
    /// Only list the files whose objects would be moved
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Send at most this number of bytes per second: 10M
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub(crate) bytes_per_second: Option<u64>,
    /// The largest number of objects to move at once, up to 256; auto: as many as bring more
    #[arg(long, value_name = "N", default_value = "auto", value_parser = jobs)]
    pub(crate) jobs: u16,
    /// Store overrides.
    #[command(flatten)]
    pub(crate) store: StoreFlags,
}

const MIGRATE_HELP: &str = "\
Each object is copied under the same key, and the file then names the other store, once the translator has found the object \
there to be the file's. Files stay cold, and can be read all the time. A run that is cut off can be repeated: it goes on where \
it was. The old objects stay; gc --store deletes them after its grace period.";
