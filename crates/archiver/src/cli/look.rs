// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The arguments of `cloudsync jobs` and `cloudsync top`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::duration;

/// `cloudsync jobs`
#[derive(Args, Clone, Debug)]
#[command(after_long_help = JOBS_HELP)]
pub(crate) struct JobsArgs {
    /// Where volumes are mounted
    #[arg(required = true, value_name = "MOUNT")]
    pub(crate) mounts: Vec<PathBuf>,
}

const JOBS_HELP: &str = "\
A file whose recall has not begun waits for a thread (\"wait\" in top), for the bricks (\"ask\"), or for the lock that \
another client holds (\"lock\"). Processes \
of other machines (behind Samba or NFS-Ganesha) have the numbers that the server gives them.";

/// `cloudsync top`
#[derive(Args, Clone, Debug)]
pub(crate) struct TopArgs {
    /// Where a volume is mounted
    #[arg(value_name = "MOUNT")]
    pub(crate) mount: PathBuf,
    /// Show it once, after one interval
    #[arg(long)]
    pub(crate) once: bool,
    /// How often to look
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) interval: Duration,
}
