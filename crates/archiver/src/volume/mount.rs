// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Mounts a volume for this program, to read, truncate and query its files.
//!
//! A user's mount will not do: its caches may return bytes that are older than the attributes, so that a change made in
//! between would be lost by truncation. In our mount every cache is off, so bytes read after a stat are at least as new
//! as the stat. The mount also finds files by gfid, whatever their current name.
//!
//! The client is a child process that dies with us. A run that is killed leaves at most an empty directory and a dead
//! mount point, which the next run removes.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

mod bricks;

use bricks::Graph;

use super::Volume;
use crate::child;
use crate::exit::Error;

const HOME: &str = "/run/cloudsync";
const MOUNT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait for the connections to all bricks. A client is ready when it has enough of them, but what it changes then
/// must be healed on the others.
const ALL_BRICKS: Duration = Duration::from_secs(5);
const WITHOUT_CACHES: &[&str] = &[
    // The kernel keeps what it has read of a file, even across close and open, until size or mtime change. A change in
    // place whose mtime was set back would not be read.
    "--direct-io-mode=enable",
    // Without it the kernel checks root's permissions with the bricks for every folder of a path; with it the kernel
    // leaves that to the client, which knows the answer.
    "--acl",
    "--attribute-timeout=0",
    "--entry-timeout=0",
    "--negative-timeout=0",
    "--xlator-option=*-md-cache.pass-through=true",
    "--xlator-option=*-io-cache.pass-through=true",
    "--xlator-option=*-nl-cache.pass-through=true",
    "--xlator-option=*-open-behind.pass-through=true",
    "--xlator-option=*-quick-read.max-file-size=0",
    "--xlator-option=*-quick-read.cache-timeout=0",
    "--xlator-option=*-read-ahead.pass-through=true",
    // By default, replication and erasure coding complete a transaction a second later, in case another follows. A
    // client that exits before leaves a file that must be healed and, with a brick down, cannot be.
    "--xlator-option=*-replicate-*.post-op-delay-secs=0",
    "--xlator-option=*-disperse-*.eager-lock=off",
    "--xlator-option=*-disperse-*.other-eager-lock=off",
];

/// How many this process has made.
static MOUNTS: AtomicU32 = AtomicU32::new(0);

/// A mounted volume; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Mount {
    point: PathBuf,
    client: Child,
    /// Of the graph that was active last.
    graph: Mutex<Graph>,
}

impl Mount {
    /// Mounts the volume. Call it on the main thread: the kernel kills the client when the *thread* that spawned it
    /// ends.
    pub(crate) fn new(volume: &Volume) -> Result<Self, Error> {
        clear_dead_ones();
        // A process may have several at a time. The process is last: see `clear_dead_ones`.
        let number = MOUNTS.fetch_add(1, Ordering::Relaxed);
        let point = format!("{HOME}/{}.{number}.{}", volume.name, std::process::id());
        let point = PathBuf::from(point);
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&point);
        made.map_err(|error| Error::start(point.display(), error))?;
        let log = format!("/var/log/glusterfs/cloudsync-{}.log", volume.name);
        let client = child::command("setpriv")
            .args(["--pdeathsig", "KILL", "glusterfs", "--no-daemon"])
            .arg(format!("--volfile-server={}", volume.server))
            .arg(format!("--volfile-id={}", volume.name))
            .arg(format!("--log-file={log}"))
            .args(["--log-level=WARNING", "--aux-gfid-mount"])
            // What was archived is in the log, too: `cloudsync history`.
            .arg("--xlator-option=*-cloudsync.log-level=INFO")
            .args(WITHOUT_CACHES)
            .arg(format!(
                "--xlator-option=*-cloudsync.cloudsync-product-id={}",
                settings(volume.option("cloudsync-product-id").unwrap_or_default())
            ))
            .arg(&point)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Error::start("setpriv glusterfs", error))?;
        let mut mount = Self {
            point,
            client,
            graph: Mutex::default(),
        };
        mount.wait(&log)?;
        mount.wait_for_bricks();
        Ok(mount)
    }

    /// The root of the volume.
    pub(crate) fn root(&self) -> &Path {
        &self.point
    }

    /// The path of the file with that gfid.
    pub(crate) fn by_gfid(&self, gfid: &str) -> PathBuf {
        self.point.join(".gfid").join(gfid)
    }

    /// Waits until the mount point shows the volume.
    fn wait(&mut self, log: &str) -> Result<(), Error> {
        let started = Instant::now();
        let device = fs::metadata(HOME).map(|home| home.dev()).ok();
        let failed = |why: &str| Error::Start(format!("cannot mount the volume: {why}; see {log}"));
        loop {
            if let Ok(Some(status)) = self.client.try_wait() {
                return Err(failed(&format!("the client exited with {status}")));
            }
            let root = fs::metadata(&self.point).ok();
            if root.is_some_and(|root| Some(root.dev()) != device) {
                return Ok(());
            }
            if started.elapsed() > MOUNT_TIMEOUT {
                return Err(failed("it is not ready after 60 s"));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits a moment for the bricks that the mount has no connection to yet.
    fn wait_for_bricks(&self) {
        let started = Instant::now();
        while started.elapsed() < ALL_BRICKS && self.lost_bricks().is_ok_and(|lost| lost > 0) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        unmount(&self.point);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(5) {
            if !matches!(self.client.try_wait(), Ok(None)) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.client.kill();
        let _ = self.client.wait();
        let _ = fs::remove_dir(&self.point);
    }
}

/// The volume's settings for the translator, with `recalls` raised to the maximum number of files in flight: it limits
/// concurrent handshakes.
fn settings(of_volume: &str) -> String {
    let items = of_volume.split(',').map(str::trim);
    let others = items.filter(|item| !item.is_empty() && !item.starts_with("recalls="));
    let all: Vec<_> = others.chain(["recalls=256"]).collect();
    all.join(",")
}

fn unmount(point: &Path) {
    let _ = child::command("umount")
        .arg("-l")
        .arg(point)
        .stderr(Stdio::null())
        .status();
}

/// Removes the mount points of runs that were killed.
fn clear_dead_ones() {
    for entry in fs::read_dir(HOME).into_iter().flatten().flatten() {
        let path = entry.path();
        let pid = path
            .extension()
            .and_then(|pid| pid.to_str()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            unmount(&path);
            let _ = fs::remove_dir(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_number_of_handshakes_is_ours() {
        assert_eq!(settings(""), "recalls=256");
        assert_eq!(settings("recalls=2, window=4M"), "window=4M,recalls=256");
    }
}
