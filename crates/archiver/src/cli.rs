// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The command line. The texts here are the manual: `--help`, the man pages and the completions are made of them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

mod archive;
pub(crate) mod values;

pub(crate) use archive::{ArchiveArgs, KeyLayout, Order, PaceFlags, SelectFlags};
use values::{duration, secret};

/// Archives, recalls and looks after the cold files of a GlusterFS volume.
///
/// A cold file occupies no space on the bricks: its bytes are an object in the volume's store (an S3 bucket), its
/// name, size, owner and times stay where they are, and whoever opens it gets it back. This program moves files to
/// the store, brings them back, and checks that nothing is missing on either side.
///
/// The store is the one that the volume names (`gluster volume get VOL all`); nothing is configured twice.
#[derive(Debug, Parser)]
#[command(
    name = "cloudsync",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How to say what is done.
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 some files failed, the others are done; 2 wrong usage; 3 could not start;
4 stopped early, too much failed; 5 another run is at work on the same brick; 130 interrupted.";

/// How to say what is done.
#[derive(Args, Clone, Debug)]
pub(crate) struct OutputFlags {
    /// One line for each file; twice: also what happens inside
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// For programs: JSON, one object a line, the last one the summary
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress bar
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Move files to the store
    Archive(ArchiveArgs),
    /// Bring files back
    Recall(RecallArgs),
    /// Show where files are: local, cold, recalling
    Status(StatusArgs),
    /// Check that every cold file's object is in the store
    Verify(VerifyArgs),
    /// List files in which bytes were found that no recall wrote, and the objects they were archived as before
    Kept(KeptArgs),
    /// Find objects that no file refers to, and delete them
    Gc(GcArgs),
    /// Before features.cloudsync is turned off: list what is cold, or bring it back
    PrepareOff(PrepareOffArgs),
    /// For glusterd's hooks: turn features.cloudsync on again while this host's bricks have cold files
    #[command(hide = true)]
    KeepOn {
        /// A volume's name
        volume: String,
    },
    /// Cancel recalls that this mount runs
    Cancel(PathsArgs),
    /// Recreate the cold files of a lost volume from what the store holds
    Rebuild(RebuildArgs),
    /// Archive by the rules of a policy file, as a timer does
    Run(RunArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the man pages to a directory
    Manual {
        /// Where to
        directory: PathBuf,
    },
}

/// Overrides for the volume's own options.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Store (default: what the volume says)")]
pub(crate) struct StoreFlags {
    /// Kind of store (features.cloudsync-storetype)
    #[arg(long, value_name = "NAME", env = "CLOUDSYNC_STORE_TYPE")]
    pub(crate) store_type: Option<String>,
    /// host, host:port or URL (features.s3plugin-hostname)
    #[arg(long, value_name = "HOST", env = "CLOUDSYNC_HOSTNAME")]
    pub(crate) hostname: Option<String>,
    /// bucket or bucket/prefix (features.s3plugin-bucketid)
    #[arg(long, value_name = "BUCKET", env = "CLOUDSYNC_BUCKET")]
    pub(crate) bucket: Option<String>,
    /// Access key: file:/path or env:NAME (features.s3plugin-keyid)
    #[arg(long, value_name = "WHERE", env = "CLOUDSYNC_KEY_ID", value_parser = secret)]
    pub(crate) key_id: Option<String>,
    /// Secret key: file:/path or env:NAME; a key itself would show in the process list (features.s3plugin-seckey)
    #[arg(long, value_name = "WHERE", env = "CLOUDSYNC_SECRET_KEY", value_parser = secret)]
    pub(crate) secret_key: Option<String>,
    /// key=value,... (features.cloudsync-store-id)
    #[arg(long, value_name = "LIST", env = "CLOUDSYNC_STORE_ID")]
    pub(crate) store_id: Option<String>,
}

impl StoreFlags {
    /// As options of the volume, without `features.`.
    pub(crate) fn options(&self) -> impl Iterator<Item = (String, String)> {
        [
            ("cloudsync-storetype", &self.store_type),
            ("s3plugin-hostname", &self.hostname),
            ("s3plugin-bucketid", &self.bucket),
            ("s3plugin-keyid", &self.key_id),
            ("s3plugin-seckey", &self.secret_key),
            ("cloudsync-store-id", &self.store_id),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)))
    }
}

/// `cloudsync recall`
#[derive(Args, Clone, Debug)]
pub(crate) struct RecallArgs {
    /// Files, or directories with --recursive, in a mount
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Everything below directories
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Return when the files are back, and say which could not be brought back
    #[arg(short, long)]
    pub(crate) wait: bool,
}

/// `cloudsync cancel`
#[derive(Args, Clone, Debug)]
pub(crate) struct PathsArgs {
    /// Files in the mount that recalls them
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// `cloudsync status`
#[derive(Args, Clone, Debug)]
pub(crate) struct StatusArgs {
    /// Files in a mount; with --summary also directories and bricks
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Count what is below
    #[arg(short, long)]
    pub(crate) summary: bool,
}

/// `cloudsync kept`
#[derive(Args, Clone, Debug)]
pub(crate) struct KeptArgs {
    /// Files, or directories with --recursive, in a mount
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Everything below directories
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Forget those objects: the bytes in the files are the right ones. gc deletes the objects after --grace
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
    /// Accept an object with another version (etag) that is the same file: after a move to another bucket or provider
    #[arg(long)]
    pub(crate) adopt: bool,
    /// Objects in flight
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: u16,
    /// Overrides.
    #[command(flatten)]
    pub(crate) store: StoreFlags,
}

/// `cloudsync gc`
#[derive(Args, Clone, Debug)]
#[command(after_long_help = GC_HELP)]
pub(crate) struct GcArgs {
    /// A brick or a mount of the volume
    #[arg(value_name = "BRICK|MOUNT")]
    pub(crate) target: PathBuf,
    /// Delete only what is older than this, and has been seen unreferenced for as long
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = duration)]
    pub(crate) grace: Duration,
    /// Delete them; without this they are only listed, and noted as seen
    #[arg(long)]
    pub(crate) delete: bool,
    /// Also keep what the files below this path are cold with: a mounted snapshot, a brick's backup, a clone
    #[arg(long, value_name = "[SNAPSHOT=]PATH", value_parser = Also::parse)]
    pub(crate) also: Vec<Also>,
    /// Delete although this snapshot of the volume may have cold files that need it; "all" for every snapshot
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) ignore_snapshot: Vec<String>,
    /// Where to remember since when objects have been unreferenced [default: /var/lib/cloudsync/VOLUME-ID]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Overrides.
    #[command(flatten)]
    pub(crate) store: StoreFlags,
}

/// Something besides the volume whose files need objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Also {
    /// The snapshot that it is.
    pub(crate) snapshot: Option<String>,
    pub(crate) path: PathBuf,
}

impl Also {
    /// `PATH` or `SNAPSHOT=PATH`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (snapshot, path) = match text.split_once('=') {
            Some((name, path)) if !name.contains('/') => (Some(name.to_owned()), path),
            _ => (None, text),
        };
        if path.is_empty() || snapshot.as_deref() == Some("") {
            return Err("a path, or the name of a snapshot, '=' and a path");
        }
        Ok(Self {
            snapshot,
            path: PathBuf::from(path),
        })
    }
}

const GC_HELP: &str = "\
An object is kept while any file names it (a cold file, or one that holds bytes which no recall wrote), here or below
an --also path, and while its own file is local and still has the size and mtime that the object was made of (then it
can be archived again without an upload). A file that was touched within a day keeps all its objects.
Nothing is deleted while a brick cannot be reached, while the volume has a snapshot that is not named, or without the
state file. Objects whose keys do not begin with this volume's id (--key-layout path, the volume before a rebuild) are
never touched.";

/// `cloudsync prepare-off`
#[derive(Args, Clone, Debug)]
pub(crate) struct PrepareOffArgs {
    /// A volume's name, or a path in a mount or brick of it
    #[arg(value_name = "VOLUME|MOUNT")]
    pub(crate) target: String,
    /// Bring everything back, and check that nothing is cold afterwards
    #[arg(long)]
    pub(crate) recall: bool,
    /// Let the feature be off although files are cold. They then read as empty. Needed on every server of the volume
    #[arg(long, conflicts_with = "recall")]
    pub(crate) accept_loss: bool,
}

/// `cloudsync rebuild`
#[derive(Args, Clone, Debug)]
pub(crate) struct RebuildArgs {
    /// A mount (or a brick) of the new, empty volume, with the old one's store options set
    #[arg(value_name = "BRICK|MOUNT")]
    pub(crate) target: PathBuf,
    /// Id of the lost volume: the first part of its objects' keys
    #[arg(long, value_name = "VOLUME-ID")]
    pub(crate) from: String,
    /// Only say what would be created
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Overrides.
    #[command(flatten)]
    pub(crate) store: StoreFlags,
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
    /// Only say what would be archived
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Write the JSON report there instead of where the policy says
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

/// The command line of this process. Does not return when it is wrong or asks for help.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Cli {
    Cli::parse_from(arguments)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
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
