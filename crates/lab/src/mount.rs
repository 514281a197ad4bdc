// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! FUSE mounts: one client process each, with its own log.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::diagnose;
use crate::memcheck;
use crate::pids;
use crate::process;
use crate::run::{Failure, until};
use crate::space::{ADDRESS, Space};
use crate::statedump::statedump;

/// How long a client may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long umount may fail with "busy" because of processes that are about to exec.
const BUSY: Duration = Duration::from_secs(10);

/// Settings of a mount.
#[derive(Debug, Clone)]
pub struct MountOptions {
    /// The client's log level.
    pub log_level: String,
    /// Additional arguments of `glusterfs`, such as `--entry-timeout=0`.
    pub args: Vec<String>,
    /// Additional environment of the client.
    pub env: Vec<(String, String)>,
    /// A volfile, as a path in the lab, to use instead of glusterd's; the client is then not notified of changes to the
    /// volume.
    pub volfile: Option<PathBuf>,
    /// A program that runs the client, such as `valgrind` with its arguments.
    pub under: Vec<String>,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            log_level: "INFO".to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            volfile: None,
            under: memcheck::everywhere(),
        }
    }
}

impl MountOptions {
    /// Adds an argument of `glusterfs`.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds a variable to the client's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Uses the volfile at this path.
    #[must_use]
    pub fn volfile(mut self, inside: impl Into<PathBuf>) -> Self {
        self.volfile = Some(inside.into());
        self
    }

    /// Runs the client under another program.
    #[must_use]
    pub fn under(mut self, words: &[&str]) -> Self {
        self.under = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Sets the log level.
    #[must_use]
    pub fn log_level(mut self, level: impl Into<String>) -> Self {
        self.log_level = level.into();
        self
    }
}

/// A mounted volume. Dropping it kills the client; if the test is failing, the client's frames and log are printed
/// first.
#[derive(Debug)]
pub struct Mount {
    space: Arc<Space>,
    client: Arc<Client>,
}

impl Mount {
    pub(crate) fn start(
        space: &Arc<Space>,
        volume: &str,
        options: &MountOptions,
    ) -> Result<Self, Failure> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("{volume}.{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let point = space.ram("mnt").join(&name);
        let log = space.ram("log").join(format!("mount-{name}.log"));
        let pidfile = space.ram("mnt").join(format!("{name}.pid"));
        fs::create_dir(space.outer(&point)).map_err(|e| Failure::at(&point, &e))?;
        let home = space.ram("home");
        let mut words = options.under.clone();
        words.push("glusterfs".to_owned());
        match &options.volfile {
            Some(volfile) => words.push(format!("--volfile={}", volfile.display())),
            None => words.extend([
                format!("--volfile-server={ADDRESS}"),
                format!("--volfile-id={volume}"),
            ]),
        }
        words.extend([
            format!("--log-file={}", log.display()),
            format!("--log-level={}", options.log_level),
            format!("--pid-file={}", pidfile.display()),
        ]);
        words.extend(options.args.iter().cloned());
        words.push(point.display().to_string());
        let with_log = |failure: Failure| failure.with(diagnose::tail(space, &log, 60));
        // The client goes to the background when the mount has succeeded or failed.
        let outcome = space.run_with(
            memcheck::patience(PATIENCE),
            &words[0],
            &words[1..],
            |command| {
                command
                    .env("HOME", home)
                    .envs(options.env.iter().map(|(name, value)| (name, value)));
            },
        )?;
        let started = outcome.to_string();
        outcome.check().map_err(with_log)?;
        let pid = until(PATIENCE, "the client's pid", || {
            let inner = fs::read_to_string(space.outer(&pidfile))
                .ok()?
                .trim()
                .parse()
                .ok()?;
            Some((space.outer_pid(inner)?, inner))
        });
        let (pid, inner) = pid.map_err(|failure| with_log(failure.with(started)))?;
        let (volume, log, reported) = (volume.to_owned(), log.clone(), AtomicBool::new(false));
        let client = Arc::new(Client {
            volume,
            point,
            log,
            pid,
            inner,
            reported,
        });
        space.clients().push(Arc::clone(&client));
        let mount = Self {
            space: Arc::clone(space),
            client,
        };
        mount.await_root()?;
        Ok(mount)
    }

    /// The first stat of the root shows whether the bricks are connected.
    fn await_root(&self) -> Result<(), Failure> {
        let mut last = String::new();
        let answered = until(PATIENCE, "the root of the mount", || {
            let point = self.client.point.as_os_str();
            let output = self
                .space
                .run_with(diagnose::QUESTION, "stat", [point], |_| {})
                .ok()?;
            last = output.to_string();
            output.success().then_some(())
        });
        answered.map_err(|failure| failure.with(last).with(self.report()))
    }

    /// Waits until the client is connected to the bricks with these numbers. Does nothing if the client does not show
    /// its `.meta`.
    pub(crate) fn await_bricks(&self, numbers: &[usize]) -> Result<(), Failure> {
        let graph = self.client.point.join(".meta/graphs/active");
        let file = |number| format!("{}-client-{number}/private", self.client.volume);
        let files: Vec<_> = numbers.iter().map(|n| graph.join(file(n))).collect();
        let mut last = String::new();
        let connected = until(PATIENCE, "the client's connections to the bricks", || {
            let output = self
                .space
                .run_with(diagnose::QUESTION, "cat", &files, |_| {})
                .ok()?;
            last = output.to_string();
            (output.status.is_some() && !output.text().contains("connected = 0")).then_some(())
        });
        connected.map_err(|failure| failure.with(last).with(self.report()))
    }

    /// The mount's root for this process; `std::fs` works below it. Use [`Mount::within`] for calls that could hang.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.space.outer(&self.client.point)
    }

    /// The mount's root for programs that run in the lab.
    #[must_use]
    pub fn inside(&self) -> &Path {
        &self.client.point
    }

    /// Outer pid of the client.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.client.pid
    }

    /// Stops all threads of the client.
    ///
    /// # Errors
    /// When it has ended.
    pub fn freeze(&self) -> Result<(), Failure> {
        process::freeze(&self.space, self.client.pid)
    }

    /// Continues a frozen client.
    ///
    /// # Errors
    /// When it has ended.
    pub fn thaw(&self) -> Result<(), Failure> {
        process::thaw(&self.space, self.client.pid)
    }

    /// Whether the client is running.
    #[must_use]
    pub fn alive(&self) -> bool {
        pids::is_in(self.space.pids(), self.client.pid) && pids::alive(self.client.pid)
    }

    /// The path of the client's log, inside the lab.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.client.log
    }

    /// The client's log.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.space.outer(&self.client.log)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The frames in flight, which include parked requests. From `.meta/frames` or, if that cannot be read, from a
    /// statedump.
    ///
    /// # Errors
    /// When the client does not answer within seconds.
    pub fn frames(&self) -> Result<String, Failure> {
        diagnose::frames(&self.space, &self.client)
    }

    /// A file below `.meta`.
    ///
    /// # Errors
    /// When the client does not answer within seconds.
    pub fn meta(&self, name: &str) -> Result<String, Failure> {
        let path = self.client.point.join(".meta").join(name);
        self.space
            .run_with(diagnose::QUESTION, "cat", [path], |_| {})?
            .check()
    }

    /// Makes the client write a statedump and returns it.
    ///
    /// # Errors
    /// When no dump is complete within seconds.
    pub fn statedump(&self) -> Result<String, Failure> {
        statedump(&self.space, &self.client)
    }

    /// Runs `work` on a thread. If it takes longer than `deadline`, prints this client's frames and log and the bricks'
    /// state, kills the client and panics.
    ///
    /// # Panics
    /// When the deadline passes, and when `work` panics.
    #[track_caller]
    pub fn within<T: Send + 'static>(
        &self,
        deadline: Duration,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let clients = || vec![Arc::clone(&self.client)];
        diagnose::within(&self.space, clients, deadline, name, work)
    }

    /// State, frames and log of the client and the bricks' state, to be printed.
    #[must_use]
    pub fn report(&self) -> String {
        diagnose::report(&self.space, std::slice::from_ref(&self.client))
    }

    /// Kills the client as in a crash, and clears the dead mount point.
    ///
    /// # Errors
    /// When the process does not end.
    pub fn kill9(self) -> Result<(), Failure> {
        self.end()
    }

    /// Unmounts and waits until the client has ended.
    ///
    /// # Errors
    /// When the mount is still in use, or the client does not end.
    pub fn unmount(self) -> Result<(), Failure> {
        let point = self.client.point.as_os_str();
        let started = Instant::now();
        // A program that another test is starting holds our descriptors between fork and exec.
        while let Err(failure) = self.space.run("umount", [point])?.check() {
            if !failure.to_string().contains("busy") || started.elapsed() > BUSY {
                return Err(failure);
            }
            thread::sleep(Duration::from_millis(50));
        }
        process::await_end(&self.space, self.client.pid, PATIENCE)
            .map_err(|failure| failure.with(self.report()))
    }

    /// Kills the client and clears the mount point.
    fn end(&self) -> Result<(), Failure> {
        let ended = process::kill(&self.space, self.client.pid);
        let point = &self.client.point;
        let _ = self.space.run_with(
            diagnose::QUESTION,
            "umount",
            ["-l".as_ref(), point.as_os_str()],
            |_| {},
        );
        let _ = fs::remove_dir(self.space.outer(point));
        ended
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if thread::panicking() && !self.client.reported.load(Ordering::Relaxed) {
            eprintln!("{}", self.report());
        }
        let _ = self.end();
        let mut clients = self.space.clients();
        clients.retain(|client| client.pid != self.client.pid);
    }
}
