// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The arguments of `cloudsync history`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::duration;

/// `cloudsync history`
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(crate) struct HistoryArgs {
    /// A mount or a brick of the volume
    #[arg(value_name = "BRICK|MOUNT")]
    pub(crate) target: PathBuf,
    /// How far to look back
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration)]
    pub(crate) since: Duration,
    /// Only this path of the volume and what is below it
    #[arg(long, value_name = "PATH")]
    pub(crate) under: Option<String>,
    /// Only what this user caused
    #[arg(long, value_name = "UID")]
    pub(crate) user: Option<u32>,
    /// Only recalls that failed
    #[arg(long)]
    pub(crate) failed: bool,
    /// Print sums: how much, for whom, and what failed
    #[arg(short, long)]
    pub(crate) summary: bool,
    /// Logs, or folders of logs, also compressed ones [default: /var/log/glusterfs]
    #[arg(long, value_name = "PATH")]
    pub(crate) logs: Vec<PathBuf>,
}

const HELP: &str = "\
Each client writes to its own log what it recalled and archived, on its own machine; programs that use GlusterFS's library \
(Samba, NFS-Ganesha, qemu) have logs of their own. To see all of a volume, gather their logs and name them with --logs. \
history=off in cloudsync-product-id switches it off.";
