// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Defines the command line. `--help`, the man pages and the completions are generated from the texts here.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use cloudsync_format::pin::Pin;

mod archive;
pub(crate) mod examples;
mod history;
mod look;
mod metrics;
mod migrate;
mod restore;
mod store;
mod undelete;
pub(crate) mod values;

pub(crate) use archive::{
    ArchiveArgs, KeyLayout, MIN_RESIDENCY, Order, PaceFlags, SelectFlags, WhichFlags, WhosePins,
};
pub(crate) use history::HistoryArgs;
pub(crate) use look::{JobsArgs, TopArgs};
pub(crate) use metrics::MetricsArgs;
pub(crate) use migrate::MigrateArgs;
pub(crate) use restore::{RestoreArgs, Tier};
pub(crate) use store::{StoreChoice, StoreFlags};
pub(crate) use undelete::UndeleteArgs;
use values::{bytes, duration, jobs};

/// Archives, recalls and maintains the cold files of a GlusterFS volume.
///
/// A cold file occupies no space on the bricks: its bytes are an object in the volume's store (an S3 bucket). Its name,
/// size, owner and times stay on the volume, and opening it brings the bytes back. This program moves files to the
/// store, recalls them, and checks that nothing is missing on either side.
///
/// The store is the one that the volume's options name (`gluster volume get VOL all`); nothing is configured twice.
#[derive(Debug, Parser)]
#[command(
    name = "cloudsync",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How to report progress and results.
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 success; 1 some files failed, the others are done; 2 usage error; 3 could not start;
4 stopped early after too many failures; 5 another run holds the brick's lock; 130 interrupted.";

/// How to report progress and results.
#[derive(Args, Clone, Debug)]
pub(crate) struct OutputFlags {
    /// Print one line per file; given twice, also debug messages
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print JSON for programs: one object per line, the last one is the summary
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show no progress bar
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
    /// Write the run's metrics to this file, for node_exporter's textfile collector
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) metrics_file: Option<PathBuf>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Move files to the store
    Archive(ArchiveArgs),
    /// Recall files from the store
    Recall(RecallArgs),
    /// Ask the store to restore the objects of cold files that it refuses to read (Glacier)
    Restore(RestoreArgs),
    /// Move the objects of cold files from one of the volume's stores to another
    Migrate(MigrateArgs),
    /// Show the state of files: local, cold or recalling
    Status(StatusArgs),
    /// Check that every cold file's object is in the store
    Verify(VerifyArgs),
    /// List files that hold bytes which no recall wrote, and the objects they were archived as before
    Kept(KeptArgs),
    /// Find objects that no file refers to, and delete them
    Gc(GcArgs),
    /// Prepare to turn features.cloudsync off: list the cold files, or recall them
    PrepareOff(PrepareOffArgs),
    /// For glusterd's hooks: turn features.cloudsync back on while this host's bricks have cold files
    #[command(hide = true)]
    KeepOn {
        /// A volume's name
        volume: String,
    },
    /// Keep files and folders from being archived, or have them archived soon
    Pin(PinArgs),
    /// Remove pins
    Unpin(PathsArgs),
    /// List the pins at and below paths
    Pins(PathsArgs),
    /// Cancel recalls that this mount is running
    Cancel(PathsArgs),
    /// Store what the objects do not say of the volume: folders, links, ACLs, extended attributes
    Catalog(CatalogArgs),
    /// Recreate the cold files of a lost volume from what the store holds
    Rebuild(RebuildArgs),
    /// Bring back cold files that were removed, or what files were at some time
    Undelete(UndeleteArgs),
    /// List the files that a mount is recalling, and who waits for them
    Jobs(JobsArgs),
    /// Watch a mount's recalls: progress, rates, waiters, store
    Top(TopArgs),
    /// Show what was recalled and archived, for whom
    History(HistoryArgs),
    /// Print, write or serve the metrics of mounts
    Metrics(MetricsArgs),
    /// Check this node's libraries, and a volume's options, mounts and store
    Check(CheckArgs),
    /// Archive by the rules of a policy file, for use from a timer
    Run(RunArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the man pages to a directory
    Manual {
        /// Directory to write them to
        directory: PathBuf,
    },
}

/// `cloudsync check`
#[derive(Args, Debug)]
#[command(after_long_help = CHECK_HELP)]
pub(crate) struct CheckArgs {
    /// Also check a volume: a name, or a path in one of its mounts or bricks
    #[arg(value_name = "VOLUME|MOUNT")]
    pub(crate) target: Option<String>,
    /// GlusterFS's folder of translators [default: what `glusterfs --print-xlatordir` prints]
    #[arg(long, value_name = "DIR")]
    pub(crate) xlatordir: Option<PathBuf>,
    /// Store overrides.
    #[command(flatten)]
    pub(crate) store: StoreFlags,
}

const CHECK_HELP: &str = "\
Of a volume: its options as clients read them, its mounts on this node, what of it is in the way of cold files, and its \
store, with an object below cloudsync-check/ that is put, read, listed and deleted. The exit code is 1 if there is a problem.";

/// `cloudsync recall`
#[derive(Args, Clone, Debug)]
pub(crate) struct RecallArgs {
    /// Files, or directories with --recursive, in a mount
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Include everything below directories
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Return when the files have been recalled, and report those that could not be
    #[arg(short, long)]
    pub(crate) wait: bool,
    /// Only list the files that would be recalled, and how many bytes that are
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// With --dry-run, also what it would cost, by the storage classes of the objects and this price list; for root
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    pub(crate) prices: Option<PathBuf>,
    /// Also if more would come back than is free
    #[arg(long)]
    pub(crate) anyway: bool,
    /// Only files archived at most this long ago, for root: 12h undoes what last night's run did
    #[arg(long, value_name = "AGE", value_parser = duration, help_heading = "Which files")]
    pub(crate) archived_within: Option<Duration>,
    /// Name, size and owner.
    #[command(flatten)]
    pub(crate) which: WhichFlags,
}

/// `cloudsync pin`
#[derive(Args, Clone, Debug)]
#[command(after_long_help = PIN_HELP)]
pub(crate) struct PinArgs {
    /// What is wanted
    #[arg(value_enum)]
    pub(crate) policy: PinPolicy,
    /// Files and folders in a mount
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// The values of `cloudsync pin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PinPolicy {
    /// Stay local, whatever the archiver's rules say
    NeverArchive,
    /// Be archived by the next run that looks here, whatever its age
    ArchiveSoon,
    /// Stay cold when it is read (on volumes with pins=on in features.cloudsync-product-id)
    NeverRecall,
}

impl From<PinPolicy> for Pin {
    fn from(policy: PinPolicy) -> Self {
        match policy {
            PinPolicy::NeverArchive => Self::NeverArchive,
            PinPolicy::ArchiveSoon => Self::ArchiveSoon,
            PinPolicy::NeverRecall => Self::NeverRecall,
        }
    }
}

const PIN_HELP: &str = "\
A folder's pin is for everything below it; the nearest one counts, from the file upwards. Anybody who may write to a file or \
folder can pin it (user.cloudsync.policy), unless the archiver's --pins says otherwise. Root's pins (trusted.cloudsync-policy) \
take precedence on the same file or folder. Nothing is recalled: a pinned file that is cold stays cold until it is used.";

/// `cloudsync cancel`, `unpin`, `pins`
#[derive(Args, Clone, Debug)]
pub(crate) struct PathsArgs {
    /// Files in a mount, to cancel a recall in the one that runs it; for pins also folders
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// `cloudsync status`
#[derive(Args, Clone, Debug)]
pub(crate) struct StatusArgs {
    /// Files in a mount; with --summary also directories and bricks
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Count the files below each path by state
    #[arg(short, long)]
    pub(crate) summary: bool,
}

/// `cloudsync kept`
#[derive(Args, Clone, Debug)]
pub(crate) struct KeptArgs {
    /// Files, or directories with --recursive, in a mount
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Include everything below directories
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Forget those objects, because the bytes in the files are the right ones; gc deletes the objects after --grace
    #[arg(long)]
    pub(crate) drop: bool,
}

/// `cloudsync verify`
#[derive(Args, Clone, Debug)]
pub(crate) struct VerifyArgs {
    /// A brick, a mount, or a directory in one
    #[arg(value_name = "BRICK|MOUNT")]
    pub(crate) target: PathBuf,
    /// Fetch every object and compute its checksum
    #[arg(long)]
    pub(crate) deep: bool,
    /// Go on where the last run with the same arguments was cut off: leave out the folders that it found to be good
    #[arg(long)]
    pub(crate) resume: bool,
    /// Accept an object of another version (etag) that holds the same file: after a move to another bucket or provider
    #[arg(long)]
    pub(crate) adopt: bool,
    /// With --deep, fetch at most this number of bytes per second: 10M
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub(crate) bytes_per_second: Option<u64>,
    /// The largest number of objects to check at once, up to 256; auto: as many as bring more
    #[arg(long, value_name = "N", default_value = "auto", value_parser = jobs)]
    pub(crate) jobs: u16,
    /// Store overrides.
    #[command(flatten)]
    pub(crate) store: StoreFlags,
}

/// How long an object stays by default after nothing refers to it any more: 30 days.
pub(crate) const GRACE: Duration = Duration::from_secs(30 * 24 * 3600);

/// `cloudsync gc`
#[derive(Args, Clone, Debug)]
#[command(after_long_help = GC_HELP)]
pub(crate) struct GcArgs {
    /// A brick or a mount of the volume
    #[arg(value_name = "BRICK|MOUNT")]
    pub(crate) target: PathBuf,
    /// Delete only objects that are older than this and have been seen unreferenced for this long
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = duration)]
    pub(crate) grace: Duration,
    /// Delete the objects; without this they are only listed, and recorded as seen
    #[arg(long)]
    pub(crate) delete: bool,
    /// Also keep the objects that files below this path need: a mounted snapshot, a brick's backup, a clone
    #[arg(long, value_name = "[SNAPSHOT=]PATH", value_parser = Also::parse)]
    pub(crate) also: Vec<Also>,
    /// Delete even though this snapshot of the volume may have cold files that need the objects; "all" for every
    /// snapshot
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) ignore_snapshot: Vec<String>,
    /// Directory that records since when objects have been unreferenced [default: /var/lib/cloudsync/VOLUME-ID]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Ignore what that directory has: another node has been at it since.
    #[arg(skip)]
    pub(crate) fresh: bool,
    /// Which store.
    #[command(flatten)]
    pub(crate) store: StoreChoice,
}

/// A tree outside the volume whose cold files need objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Also {
    /// The name of the snapshot that is mounted at `path`.
    pub(crate) snapshot: Option<String>,
    pub(crate) path: PathBuf,
}

impl Also {
    /// Parses `PATH` or `SNAPSHOT=PATH`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (snapshot, path) = match text.split_once('=') {
            Some((name, path)) if !name.contains('/') => (Some(name.to_owned()), path),
            _ => (None, text),
        };
        if path.is_empty() || snapshot.as_deref() == Some("") {
            return Err("expected PATH or SNAPSHOT=PATH");
        }
        Ok(Self {
            snapshot,
            path: PathBuf::from(path),
        })
    }
}

const GC_HELP: &str = "\
An object is kept while any file names it (a cold file, or one that holds bytes which no recall wrote), here or below \
an --also path, and while its own file is local and still has the size and mtime that the object was made from (it \
can then be archived again without an upload). A file changed within the last day keeps all its objects.
Nothing is deleted while a brick cannot be reached, while the volume has a snapshot that is not named, or without the \
state file. Objects whose keys do not begin with this volume's id (--key-layout path, the volume before a rebuild) are \
never touched.";

/// `cloudsync prepare-off`
#[derive(Args, Clone, Debug)]
pub(crate) struct PrepareOffArgs {
    /// A volume's name, or a path in one of its mounts or bricks
    #[arg(value_name = "VOLUME|MOUNT")]
    pub(crate) target: String,
    /// Recall every cold file, and check that none is cold afterwards
    #[arg(long)]
    pub(crate) recall: bool,
    /// Allow the feature to be off while files are cold; they then read as empty. Needed on every server of the volume
    #[arg(long, conflicts_with = "recall")]
    pub(crate) accept_loss: bool,
}

/// `cloudsync catalog`
#[derive(Args, Clone, Debug)]
#[command(after_long_help = CATALOG_HELP)]
pub(crate) struct CatalogArgs {
    /// A brick or a mount of the volume, all of which is looked at
    #[arg(value_name = "BRICK|MOUNT")]
    pub(crate) target: PathBuf,
    /// How many catalogs remain in the store
    #[arg(long, value_name = "N", default_value_t = CATALOGS, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) keep: u16,
    /// Which store.
    #[command(flatten)]
    pub(crate) store: StoreChoice,
}

/// How many catalogs remain by default.
pub(crate) const CATALOGS: u16 = 7;

const CATALOG_HELP: &str = "\
`rebuild` uses the latest one. It is an object under VOLUME-ID/catalog/: lines of JSON, compressed with gzip.";

/// `cloudsync rebuild`
#[derive(Args, Clone, Debug)]
pub(crate) struct RebuildArgs {
    /// A mount (or a brick) of the new, empty volume, which has the lost volume's store options
    #[arg(value_name = "BRICK|MOUNT")]
    pub(crate) target: PathBuf,
    /// Id of the lost volume: the first part of its objects' keys
    #[arg(long, value_name = "VOLUME-ID")]
    pub(crate) from: String,
    /// Only list the files that would be created
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Do not use the volume's latest catalog
    #[arg(long)]
    pub(crate) no_catalog: bool,
    /// Which store.
    #[command(flatten)]
    pub(crate) store: StoreChoice,
}

/// `cloudsync run`
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// The policy file
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "/etc/cloudsync/policy.toml"
    )]
    pub(crate) config: PathBuf,
    /// Only list the files that would be archived
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Only say why each rule would or would not archive this file, which is in a mount or a brick
    #[arg(long, value_name = "PATH", conflicts_with = "dry_run")]
    pub(crate) explain: Option<PathBuf>,
    /// Only check the policy file, and say what is at its targets on this node
    #[arg(long, conflicts_with_all = ["dry_run", "explain"])]
    pub(crate) check: bool,
    /// Only the rules with start-below-free, and no other steps: for a timer that looks often. Writes no report, unless told
    /// where
    #[arg(long)]
    pub(crate) when_short: bool,
    /// Write the JSON report to this file instead of the one that the policy names
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

/// The whole command line, with the examples.
pub(crate) fn command() -> clap::Command {
    examples::add(Cli::command(), EXIT_CODES)
}

/// Parses the command line. Exits the process on a usage error, and for `--help` and `--version`.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> (Cli, String) {
    let mut matches = command().get_matches_from(arguments);
    let command = matches.subcommand_name().unwrap_or_default().to_owned();
    let cli = Cli::from_arg_matches_mut(&mut matches);
    (cli.unwrap_or_else(|error| error.exit()), command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn a_root_may_be_a_snapshot() {
        let parse = |text| {
            let also: Also = Also::parse(text).unwrap();
            (also.snapshot, also.path.display().to_string())
        };
        assert_eq!(parse("/b=c"), (None, "/b=c".to_owned()));
        assert_eq!(parse("s=/b"), (Some("s".to_owned()), "/b".to_owned()));
        assert_eq!(parse("b"), (None, "b".to_owned()));
        assert!(
            ["", "=", "s=", "=/b"]
                .map(Also::parse)
                .iter()
                .all(Result::is_err)
        );
    }

    #[test]
    fn a_key_on_the_command_line_is_refused() {
        let line = ["cloudsync", "gc", "--secret-key", "hunter2", "/brick"];
        let error = Cli::try_parse_from(line).unwrap_err().to_string();
        assert!(error.contains("file:/path or env:NAME"), "{error}");
        assert!(Cli::try_parse_from(["cloudsync", "gc", "--secret-key", "file:/k", "/b"]).is_ok());
    }
}
