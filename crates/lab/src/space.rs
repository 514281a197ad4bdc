// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The lab's namespaces: mount, network and pid, held by a supervisor that ends them together with this process.
//!
//! The supervisor reads a pipe whose other end only this process holds. When this process drops the lab, exits or is
//! killed, the supervisor kills pid 1 of the lab, and the kernel kills everything else in it. (A death signal would
//! not do: it is tied to the thread that started the lab.)

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::client::Client;
use crate::pids;
use crate::run::{self, Failure, Outcome, until};

/// The lab's address: bricks need one that is not loopback.
pub const ADDRESS: &str = "10.99.0.1";

const SUPERVISOR: &str = include_str!("supervisor.sh");
const INSIDE: &str = include_str!("inside.sh");
const PREFIX: &str = "cloudsync-lab-";
/// How long an ordinary program may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The namespaces, and the state needed to work in them.
#[derive(Debug)]
pub(crate) struct Space {
    dir: PathBuf,
    holder: u32,
    /// Identity of the lab's pid namespace.
    pids: PathBuf,
    supervisor: Child,
    /// glusterd refuses a second command while one is running.
    pub(crate) cli: Mutex<()>,
    /// FUSE clients that run here.
    clients: Mutex<Vec<Arc<Client>>>,
}

impl Space {
    /// Creates the namespaces; `tree` is the installed GlusterFS tree to copy, `ram` the size of the lab's tmpfs in the
    /// syntax of `mount`.
    pub(crate) fn start(tree: &Path, ram: &str) -> Result<Self, Failure> {
        remove_leftovers();
        let dir = fresh_dir()?;
        let path = dir.join("start.log");
        let log = fs::File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(&path);
        let mut log = log.map_err(|e| Failure::at(&path, &e))?;
        let clone = |log: &fs::File| log.try_clone().map_err(|e| Failure::at(&path, &e));
        let keep = std::env::var_os("CLOUDSYNC_LAB_LOGS").unwrap_or_default();
        let mut supervisor = Command::new("bash")
            .args(["-c", SUPERVISOR, "lab-supervisor"])
            .arg(&dir)
            .arg(std::process::id().to_string())
            .arg(INSIDE)
            .args([tree.as_os_str(), OsStr::new(ram), &keep])
            .stdin(Stdio::piped())
            .stdout(clone(&log)?)
            .stderr(clone(&log)?)
            // Ctrl-C must not reach the supervisor, which has to outlive us to clean up.
            .process_group(0)
            .spawn()
            .map_err(|e| Failure::new(format!("cannot start the lab's supervisor: {e}")))?;
        let ready = until(Duration::from_secs(120), "the lab's namespaces", || {
            let gone = supervisor.try_wait().ok().flatten().is_some();
            (gone || dir.join("ready").exists()).then_some(!gone)
        });
        let holder = fs::read_to_string(dir.join("holder")).unwrap_or_default();
        let holder = match (ready, holder.trim().parse()) {
            (Ok(true), Ok(holder)) => holder,
            (Ok(_), _) => return Err(Failure::new("no namespaces").with(run::text(&mut log))),
            (Err(failure), _) => return Err(failure.with(run::text(&mut log))),
        };
        let link = PathBuf::from(format!("/proc/{holder}/ns/pid"));
        let pids = fs::read_link(&link).map_err(|e| Failure::at(&link, &e))?;
        Ok(Self {
            dir,
            holder,
            pids,
            supervisor,
            cli: Mutex::new(()),
            clients: Mutex::new(Vec::new()),
        })
    }

    /// FUSE clients that run here.
    pub(crate) fn clients(&self) -> MutexGuard<'_, Vec<Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Outer pid of the lab's pid 1.
    pub(crate) fn holder(&self) -> u32 {
        self.holder
    }

    /// Identity of the lab's pid namespace.
    pub(crate) fn pids(&self) -> &Path {
        &self.pids
    }

    /// The lab's directory; the path is the same inside and outside.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path in the lab's tmpfs, as programs inside see it.
    pub(crate) fn ram(&self, rest: impl AsRef<Path>) -> PathBuf {
        self.dir.join("ram").join(rest)
    }

    /// The path by which this process reaches the absolute path `inside`.
    pub(crate) fn outer(&self, inside: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder));
        root.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// The reverse of [`Space::outer`]; other paths are the same on both sides.
    pub(crate) fn inner(&self, outer: &Path) -> PathBuf {
        match outer.strip_prefix(format!("/proc/{}/root", self.holder)) {
            Ok(rest) => Path::new("/").join(rest),
            Err(_) => outer.to_owned(),
        }
    }

    /// A command that runs `program` in the lab. The caller enforces any deadline.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.holder.to_string(), "-m", "-n", "-p", "--"]);
        command.arg(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("AWS_") || text.to_ascii_lowercase().ends_with("_proxy") {
                command.env_remove(&name);
            }
        }
        command
    }

    /// Runs a program in the lab.
    pub(crate) fn run<I, S>(&self, program: &str, args: I) -> Result<Outcome, Failure>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.run_with(PATIENCE, program, args, |_| {})
    }

    /// Runs a program in the lab with a deadline, after `adjust` has changed the command.
    pub(crate) fn run_with<I, S>(
        &self,
        deadline: Duration,
        program: &str,
        args: I,
        adjust: impl FnOnce(&mut Command),
    ) -> Result<Outcome, Failure>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        // Killing nsenter does not kill its child, so `timeout` inside does that.
        let mut command = self.command("timeout");
        command.args(["-s", "KILL", &format!("{:.3}", deadline.as_secs_f64())]);
        command.arg(program).args(args);
        adjust(&mut command);
        let line = run::line(&command);
        let what = line
            .split_once("KILL ")
            .and_then(|(_, rest)| rest.split_once(' '));
        let what = what.map_or(line.clone(), |(_, rest)| rest.to_owned());
        let scratch = self.dir.join("disk");
        let outer = deadline + Duration::from_secs(1);
        let mut outcome = run::run(&mut command, what, &scratch, outer)?;
        if outcome.took >= deadline && !outcome.success() {
            outcome.status = None;
        }
        Ok(outcome)
    }

    /// The lab's processes as (outer pid, inner pid), without zombies.
    pub(crate) fn processes(&self) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|text| text.parse().ok()) else {
                continue;
            };
            if !pids::is_in(&self.pids, pid) {
                continue;
            }
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            let inner = line.and_then(|line| line.split_whitespace().last()?.parse().ok());
            if pids::alive(pid) {
                found.extend(inner.map(|inner| (pid, inner)));
            }
        }
        found
    }

    /// The outer pid of the process whose inner pid is `inner`.
    pub(crate) fn outer_pid(&self, inner: u32) -> Option<u32> {
        self.processes()
            .into_iter()
            .find(|found| found.1 == inner)
            .map(|found| found.0)
    }

    /// Runs `work` on a thread in the lab's network namespace; sockets created there stay in it.
    pub(crate) fn in_network<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let namespace = fs::File::open(format!("/proc/{}/ns/net", self.holder))?;
        let thread = thread::spawn(move || {
            use std::os::fd::AsFd;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        });
        match thread.join() {
            Ok(answer) => answer,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        if run::wait(&mut self.supervisor, Duration::from_secs(120)).is_none() {
            eprintln!(
                "the lab in {} does not end; killing its supervisor",
                self.dir.display()
            );
            let _ = self.supervisor.kill();
            let _ = self.supervisor.wait();
        }
    }
}

/// Creates a new directory for this lab.
fn fresh_dir() -> Result<PathBuf, Failure> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default()
        .as_millis();
    let name = format!("{PREFIX}{}-{number}-{now}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    fs::create_dir(&dir).map_err(|e| Failure::at(&dir, &e))?;
    Ok(dir)
}

/// Removes directories whose supervisor was killed before it could: nothing holds their lock.
fn remove_leftovers() {
    const YOUNG: Duration = Duration::from_secs(60);
    let started = Instant::now();
    for entry in fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten()
        .flatten()
    {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let made = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok();
        let young = made
            .and_then(|at| at.elapsed().ok())
            .is_none_or(|age| age < YOUNG);
        // Skip the lock of a new directory: its supervisor may be about to take it.
        if young {
            continue;
        }
        let lock = fs::File::open(entry.path().join("lock"));
        let free = lock.as_ref().is_ok_and(|lock| lock.try_lock().is_ok());
        if (free || lock.is_err()) && started.elapsed() < Duration::from_secs(5) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
