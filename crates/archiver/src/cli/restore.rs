// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Options of `cloudsync restore`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::StoreFlags;
use super::values::jobs;

/// How fast objects are restored, and how dear that is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tier {
    /// Within hours
    Standard,
    /// The cheapest, within a day or two
    Bulk,
    /// Within minutes; not for every storage class
    Expedited,
}

/// `cloudsync restore`
#[derive(Args, Clone, Debug)]
#[command(after_long_help = RESTORE_HELP)]
pub(crate) struct RestoreArgs {
    /// Files or directories, in a mount or on a brick
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// For how many days the store keeps the readable copies [default: the volume's restore-days]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=365))]
    pub(crate) days: Option<u32>,
    /// How fast [default: the volume's restore, or standard]
    #[arg(long, value_enum)]
    pub(crate) tier: Option<Tier>,
    /// Return when all objects can be read
    #[arg(short, long)]
    pub(crate) wait: bool,
    /// Ask for nothing: only tell which objects would have to be restored
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// The largest number of objects to ask for at once, up to 256; auto: as many as bring more
    #[arg(long, value_name = "N", default_value = "auto", value_parser = jobs)]
    pub(crate) jobs: u16,
    /// Store overrides.
    #[command(flatten)]
    pub(crate) store: StoreFlags,
}

const RESTORE_HELP: &str = "\
Asks the store to restore the objects of all cold files below the paths that it refuses to read (Glacier, Deep Archive, \
the archive tiers of Intelligent-Tiering). Restores cost money: --dry-run tells how many there would be. The files stay \
cold; recall them, or read them, before the copies expire. guard-files and guard-bytes do not apply.";
