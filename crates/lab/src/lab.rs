// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The lab itself: namespaces with a running glusterd.

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

/// What a lab is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// Our builds to install before glusterd starts; `None` leaves the distribution's.
    pub artifacts: Option<Artifacts>,
    /// Size of the tmpfs that holds bricks and logs, as `mount -o size=` takes it.
    pub ram: String,
    /// Bytes that the S3 server can hold, in memory, once it is started.
    pub store_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            artifacts: None,
            ram: "60%".to_owned(),
            store_bytes: 4 << 30,
        }
    }
}

/// Private namespaces with a glusterd of their own. Dropping the last handle on it (volumes,
/// mounts and buckets hold one too) ends everything in it.
#[derive(Debug)]
pub struct Lab {
    pub(crate) space: Arc<Space>,
    options: Options,
    tree: PathBuf,
    /// A failed start is not tried again: every test would wait for it.
    s3: Mutex<Option<Result<Arc<S3Server>, Failure>>>,
}

impl Lab {
    /// Starts a lab: about two seconds.
    ///
    /// # Errors
    /// When the namespaces or glusterd cannot be started, with what they said.
    pub fn start(options: Options) -> Result<Self, Failure> {
        machine::leave_out_if_it_cannot();
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
        lab.start_glusterd()?;
        Ok(lab)
    }

    /// The lab that all tests of this process share. The first call decides the options; the
    /// lab ends with the process, however that ends.
    ///
    /// # Panics
    /// When it cannot be started, in every test that asks for it.
    #[track_caller]
    pub fn shared(options: impl FnOnce() -> Options) -> &'static Self {
        static SHARED: OnceLock<Result<Lab, Failure>> = OnceLock::new();
        // Before the options: they name what is built, which may be left out, too.
        machine::leave_out_if_it_cannot();
        match SHARED.get_or_init(|| Self::start(options())) {
            Ok(lab) => lab,
            Err(failure) => panic!("the shared lab does not start:\n{failure}"),
        }
    }

    /// Puts our builds in place of the installed ones, in this lab only. A process that has
    /// loaded the old ones keeps them: glusterd needs [`Lab::restart_glusterd`], clients a remount.
    ///
    /// # Errors
    /// When a file cannot be copied.
    pub fn install(&self, ours: &Artifacts) -> Result<(), Failure> {
        artifacts::install(&self.space.outer(&self.tree), ours)
    }

    fn start_glusterd(&self) -> Result<(), Failure> {
        let pidfile = self.space.ram("glusterd.pid");
        let args: [&OsStr; 2] = ["-p".as_ref(), pidfile.as_os_str()];
        let said = self.space.run("glusterd", args)?.check();
        let log = self.space.ram("log/glusterd.log");
        let with_log = |failure: Failure| failure.with(diagnose::tail(&self.space, &log, 40));
        said.map_err(with_log)?;
        until(Duration::from_secs(120), "an answer of glusterd", || {
            let answer = self
                .space
                .run("gluster", ["--mode=script", "volume", "info"]);
            answer.ok().filter(Outcome::success)
        })
        .map_err(with_log)?;
        Ok(())
    }

    /// Ends glusterd and starts it again; bricks and mounts stay.
    ///
    /// # Errors
    /// When the old one stays or the new one does not answer.
    pub fn restart_glusterd(&self) -> Result<(), Failure> {
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
        self.start_glusterd()
    }

    /// Runs `gluster --mode=script ARGS`; one at a time, as glusterd wants it.
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

    /// Runs a program in the lab and waits for it, at most two minutes.
    ///
    /// # Errors
    /// When it cannot be started; how it ended is in the [`Outcome`].
    pub fn run<I, S>(&self, program: &str, args: I) -> Result<Outcome, Failure>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.space.run(program, args)
    }

    /// [`Lab::run`] with a deadline of your own and a chance to set the environment.
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
    /// With both outputs when it fails or takes more than two minutes.
    pub fn sh(&self, script: &str) -> Result<String, Failure> {
        self.space.run("bash", ["-c", script])?.check()
    }

    /// A command that will run in the lab; the caller keeps its deadline. It dies with the lab.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.space.command(program)
    }

    /// How this process reaches a path of the lab. Mind that absolute symbolic links in it
    /// lead to our files, not to the lab's.
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

    /// Runs `work` on a thread of the lab's network: a listener or stream made there belongs to
    /// the lab's network for good, so a test can be a server for its mounts, or their client.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn in_network<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.space.in_network(work)
    }

    /// Runs `work` on a thread. When it takes longer than `deadline`, prints the state of every
    /// client, kills them all (a thread in a hung mount could not end otherwise) and panics.
    /// Where one mount is concerned, [`crate::Mount::within`] leaves the others alone.
    ///
    /// # Panics
    /// When the deadline passes, and when `work` does.
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

    /// The S3 server; the first call starts it, about four seconds.
    ///
    /// # Errors
    /// When a part of it does not start, with its log.
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

    /// Outer pids of everything that runs in the lab.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.space
            .processes()
            .into_iter()
            .map(|found| found.0)
            .collect()
    }

    /// The lab's directory on this side: empty but for mount points and `disk/`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.space.dir()
    }
}

/// Runs `gluster`, again while another command holds the cluster's lock.
pub(crate) fn gluster<I, S>(space: &Space, args: I) -> Result<String, Failure>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut words = vec![OsStr::new("--mode=script").to_owned()];
    words.extend(args.into_iter().map(|word| word.as_ref().to_owned()));
    let _one_at_a_time = space.cli.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = Instant::now();
    loop {
        let outcome = space.run_with(Duration::from_secs(130), "gluster", &words, |_| {})?;
        let said = String::from_utf8_lossy(&outcome.stderr);
        let busy = said.contains("Another transaction") || said.contains("Locking failed");
        if outcome.success() || !busy || begun.elapsed() > Duration::from_secs(120) {
            return outcome.check();
        }
        thread::sleep(Duration::from_millis(200));
    }
}
