// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The arguments of `cloudsync metrics`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// `cloudsync metrics`
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(crate) struct MetricsArgs {
    /// Where volumes are mounted
    #[arg(required = true, value_name = "MOUNT")]
    pub(crate) mounts: Vec<PathBuf>,
    /// Serve the metrics to Prometheus at this address until a signal comes
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "textfile")]
    pub(crate) listen: Option<SocketAddr>,
    /// Write them to this file once, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    pub(crate) textfile: Option<PathBuf>,
}

const HELP: &str = "\
docs/METRICS.md describes every metric. cloudsync_up is 0 for a mount that does not answer; without --listen, the exit code \
is then 1.";
