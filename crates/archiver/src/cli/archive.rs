// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Options of `cloudsync archive`: which files, how many, how fast. Policy files have the same ones.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::StoreChoice;
use super::values::{bytes, duration, jobs, percent, positive};

/// The default of [`SelectFlags::min_residency`].
pub(crate) const MIN_RESIDENCY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Which files, by what they are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which files")]
pub(crate) struct WhichFlags {
    /// Only files of at least this size: 4096, 64K, 1M
    #[arg(long, value_name = "SIZE", default_value = "1", value_parser = bytes)]
    pub(crate) larger_than: u64,
    /// Only files whose name matches; a pattern with '/' is matched against the path from the volume's root
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// Skip files that match, by the same rules as --include
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Only files of this user, by name or number
    #[arg(long, value_name = "USER")]
    pub(crate) owner: Vec<String>,
}

/// Which files to archive.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which files")]
pub(crate) struct SelectFlags {
    /// Only files last modified at least this long ago: 90s, 12h, 30d
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = duration)]
    pub(crate) older_than: Duration,
    /// Only files not used for at least this long: recalled, modified, or, with ctime.noatime off, read
    #[arg(long, value_name = "AGE", value_parser = duration)]
    pub(crate) unused_for: Option<Duration>,
    /// Leave files alone that were recalled less than this long ago; 0s: archive them at once
    #[arg(long, value_name = "AGE", default_value = "7d", value_parser = duration)]
    pub(crate) min_residency: Duration,
    /// Only files that were recalled, and at least this long ago
    #[arg(long, value_name = "AGE", value_parser = duration)]
    pub(crate) recalled_before: Option<Duration>,
    /// Name, size and owner.
    #[command(flatten)]
    pub(crate) which: WhichFlags,
    /// Whose pins are respected (`cloudsync pin`)
    #[arg(long, value_enum, default_value_t)]
    pub(crate) pins: WhosePins,
}

/// Whose pins are respected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhosePins {
    /// Those of owners and of root
    #[default]
    Owners,
    /// Only those of root
    Root,
    /// Nobody's
    None,
}

/// The order in which files are archived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// Oldest first: the whole tree is crawled before the first upload
    #[default]
    Oldest,
    /// As they are found: the first upload starts at once
    Found,
    /// The most bytes for the longest time unused first (size x age): frees much with few files
    Benefit,
}

/// How objects are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyLayout {
    /// VOLUME-ID/GFID/ARCHIVE-ID: unique for each file and archive, never overwritten
    #[default]
    Id,
    /// The file's path, as the script in GlusterFS's documentation does; refuses to overwrite an object
    Path,
}

/// How much to archive, how fast, and when to stop.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "How much and how fast")]
pub(crate) struct PaceFlags {
    /// At most this number of files
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Stop when this percentage of the brick (of the volume, for a mount) is free
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(crate) free_until: Option<f64>,
    /// At most this number of files per second
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) files_per_second: Option<f64>,
    /// Upload at most this number of bytes per second, also within a file: 10M
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub(crate) bytes_per_second: Option<u64>,
    /// The largest number of files to archive at once, up to 256; auto: as many as bring more
    #[arg(long, value_name = "N", default_value = "auto", value_parser = jobs)]
    pub(crate) jobs: u16,
    /// Stop when more than this percentage of the files failed ...
    #[arg(long, value_name = "PERCENT", default_value = "50", value_parser = percent)]
    pub(crate) stop_percent: f64,
    /// ... after at least this number of attempts
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) stop_after: u64,
    /// Order of archiving
    #[arg(long, value_enum, default_value_t)]
    pub(crate) order: Order,
}

/// `cloudsync archive`
#[derive(Args, Clone, Debug)]
#[command(after_long_help = ARCHIVE_HELP)]
pub(crate) struct ArchiveArgs {
    /// A brick, a mount, or a directory in one. On a replicated volume one brick of each replica set is enough
    #[arg(value_name = "BRICK|MOUNT")]
    pub(crate) target: PathBuf,
    /// Which files to archive.
    #[command(flatten)]
    pub(crate) select: SelectFlags,
    /// How much and how fast.
    #[command(flatten)]
    pub(crate) pace: PaceFlags,
    /// Only list the files that would be archived
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// How to name the objects
    #[arg(long, value_enum, default_value_t)]
    pub(crate) key_layout: KeyLayout,
    /// Run even if another run holds the brick's lock, and do not take it
    #[arg(long)]
    pub(crate) no_lock: bool,
    /// Which store.
    #[command(flatten)]
    pub(crate) store: StoreChoice,
}

const ARCHIVE_HELP: &str = "\
Skipped: files that are already cold, open, changed less than --older-than or recalled less than --min-residency ago; special files; files of more than \
one shard; .glusterfs, .shard and .trashcan. A file that changes while it is read is left for the next run.
A file that was recalled and not modified since is archived again without an upload.
It is safe to kill at any time: every file is either local or whole in the store. The next run continues.";
