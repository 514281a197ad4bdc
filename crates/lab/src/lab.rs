// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The lab: namespaces with a running glusterd.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::artifacts::{self, Artifacts};
use crate::ceph::S3Server;
use crate::diagnose;
use crate::machine;
use crate::process;
use crate::run::{Failure, Outcome, until};
use crate::space::Space;

/// Settings of a lab.
#[derive(Debug, Clone)]
pub struct Options {
    /// Our builds, installed before glusterd starts; `None` keeps the distribution's.
    pub artifacts: Option<Artifacts>,
    /// Size of the tmpfs that holds bricks and logs, as `mount -o size=` takes it.
    pub ram: String,
    /// Capacity of the S3 server's memory in bytes, if it is started.
    pub store_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            artifacts: None,
            ram: "60%".to_owned(),
            store_bytes: 8 << 30,
        }
    }
}

/// Private namespaces with their own glusterd. Dropping the last handle (volumes, mounts and buckets hold one too)
/// ends everything in it.
#[derive(Debug)]
pub struct Lab {
    pub(crate) space: Arc<Space>,
    options: Options,
    tree: PathBuf,
    /// A failed start is not retried: every test would wait for it.
    s3: Mutex<Option<Result<Arc<S3Server>, Failure>>>,
}

impl Lab {
    /// Starts a lab, which takes about two seconds.
    ///
    /// # Errors
    /// With their output, when the namespaces or glusterd cannot be started.
    pub fn start(options: Options) -> Result<Self, Failure> {
        machine::skip_if_unsupported();
        let tree = artifacts::installed_tree()?;
        let space = Arc::new(Space::start(&tree, &options.ram)?);
        let lab = Self {
            space,
            options,
            tree,
            s3: Mutex::new(None),
        };
        if let Some(ours) = lab.options.artifacts.clone() {
            lab.install(&ours)?;
        }
        lab.start_glusterd(&[])?;
        Ok(lab)
    }

    /// The lab that all tests of this process share. The first call decides the options. The lab ends with the process,
    /// even if that is killed.
    ///
    /// # Panics
    /// In every test that uses it, when it cannot be started.
    #[track_caller]
    pub fn shared(options: impl FnOnce() -> Options) -> &'static Self {
        static SHARED: OnceLock<Result<Lab, Failure>> = OnceLock::new();
        // Before the options: they search for our builds, which need not exist on a machine that cannot have a lab.
        machine::skip_if_unsupported();
        match SHARED.get_or_init(|| Self::start(options())) {
            Ok(lab) => lab,
            Err(failure) => panic!("the shared lab cannot be started:\n{failure}"),
        }
    }

    /// Replaces the installed builds by ours, in this lab only. Processes that have loaded the old ones keep them:
    /// glusterd needs [`Lab::restart_glusterd`], clients a remount.
    ///
    /// # Errors
    /// When a file cannot be copied.
    pub fn install(&self, ours: &Artifacts) -> Result<(), Failure> {
        artifacts::install(&self.space.outer(&self.tree), ours)
    }

    fn start_glusterd(&self, under: &[String]) -> Result<(), Failure> {
        let pidfile = self.space.ram("glusterd.pid").display().to_string();
        let mut words = under.to_vec();
        words.extend(["glusterd", "-p", &pidfile].map(str::to_owned));
        let output = self.space.run(&words[0], &words[1..])?.check();
        let log = self.space.ram("log/glusterd.log");
        let with_log = |failure: Failure| failure.with(diagnose::tail(&self.space, &log, 40));
        output.map_err(with_log)?;
        until(Duration::from_secs(120), "an answer of glusterd", || {
            let answer = self
                .space
                .run("gluster", ["--mode=script", "volume", "info"]);
            answer.ok().filter(Outcome::success)
        })
        .map_err(with_log)?;
        Ok(())
    }

    /// Restarts glusterd; bricks and mounts keep running.
    ///
    /// # Errors
    /// When the old one does not end or the new one does not answer.
    pub fn restart_glusterd(&self) -> Result<(), Failure> {
        self.replace_glusterd(&[])
    }

    /// The same; `under` are the words that run the new one.
    pub(crate) fn replace_glusterd(&self, under: &[String]) -> Result<(), Failure> {
        let pidfile = self.space.outer(&self.space.ram("glusterd.pid"));
        let inner = fs::read_to_string(&pidfile).unwrap_or_default();
        if let Some(pid) = inner
            .trim()
            .parse()
            .ok()
            .and_then(|pid| self.space.outer_pid(pid))
        {
            process::end(&self.space, pid, Signal::TERM, Duration::from_secs(60))?;
        }
        self.start_glusterd(under)
    }

    /// Runs `gluster --mode=script ARGS`; one command at a time, as glusterd requires.
    ///
    /// # Errors
    /// With what gluster printed when it refuses.
    pub fn gluster<I, S>(&self, args: I) -> Result<String, Failure>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        gluster(&self.space, args)
    }

    /// Runs a program in the lab and waits for it, for at most two minutes.
    ///
    /// # Errors
    /// When it cannot be started; its exit status is in the [`Outcome`].
    pub fn run<I, S>(&self, program: &str, args: I) -> Result<Outcome, Failure>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.space.run(program, args)
    }

    /// [`Lab::run`] with a different deadline and a callback that can set the environment.
    ///
    /// # Errors
    /// As [`Lab::run`].
    pub fn run_with<I, S>(
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
        self.space.run_with(deadline, program, args, adjust)
    }

    /// Runs a shell script in the lab and returns its output.
    ///
    /// # Errors
    /// With stdout and stderr when it fails or takes more than two minutes.
    pub fn sh(&self, script: &str) -> Result<String, Failure> {
        self.space.run("bash", ["-c", script])?.check()
    }

    /// A command that will run in the lab and dies with it; the caller enforces any deadline.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.space.command(program)
    }

    /// The path by which this process reaches a path of the lab. Note that absolute symbolic links in it resolve to our
    /// files, not the lab's.
    #[must_use]
    pub fn outer(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.space.outer(inside.as_ref())
    }

    /// The reverse of [`Lab::outer`], for the arguments of programs that run inside.
    #[must_use]
    pub fn inner(&self, outer: impl AsRef<Path>) -> PathBuf {
        self.space.inner(outer.as_ref())
    }

    /// A path for scratch files in the lab's memory, as programs inside see it.
    #[must_use]
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.space.ram(name)
    }

    /// Runs `work` on a thread in the lab's network namespace. Sockets created there stay in that network, so a test
    /// can act as a server for its mounts, or as their client.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn in_network<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.space.in_network(work)
    }

    /// Runs `work` on a thread. If it takes longer than `deadline`, prints the state of every client, kills them all (a
    /// thread in a hung mount could not end otherwise) and panics. [`crate::Mount::within`] does this for one mount
    /// only.
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
        let clients = || self.space.clients().clone();
        diagnose::within(&self.space, clients, deadline, name, work)
    }

    /// The S3 server; the first call starts it, which takes about four seconds.
    ///
    /// # Errors
    /// With its log, when one of its daemons does not start.
    pub fn s3(&self) -> Result<Arc<S3Server>, Failure> {
        let mut slot = self.s3.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || S3Server::start(&self.space, self.options.store_bytes).map(Arc::new);
        slot.get_or_insert_with(start).clone()
    }

    /// Outer pid of the process that holds the namespaces (the lab's pid 1).
    #[must_use]
    pub fn holder(&self) -> u32 {
        self.space.holder()
    }

    /// Outer pids of all processes in the lab.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.space
            .processes()
            .into_iter()
            .map(|found| found.0)
            .collect()
    }

    /// The lab's directory outside: empty except for mount points and `disk/`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.space.dir()
    }
}

/// Runs `gluster`, and retries while another command holds the cluster's lock.
pub(crate) fn gluster<I, S>(space: &Space, args: I) -> Result<String, Failure>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut words = vec![OsStr::new("--mode=script").to_owned()];
    words.extend(args.into_iter().map(|word| word.as_ref().to_owned()));
    let _one_at_a_time = space.cli.lock().unwrap_or_else(PoisonError::into_inner);
    let started = Instant::now();
    loop {
        let outcome = space.run_with(Duration::from_secs(130), "gluster", &words, |_| {})?;
        let output = String::from_utf8_lossy(&outcome.stderr);
        let busy = output.contains("Another transaction") || output.contains("Locking failed");
        if outcome.success() || !busy || started.elapsed() > Duration::from_secs(120) {
            return outcome.check();
        }
        thread::sleep(Duration::from_millis(200));
    }
}
