// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Starts processes in the lab, signals them and waits for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::pids::{alive, is_in, stopped};
use crate::run::{Failure, until};
use crate::space::Space;

/// How long a process may take to end after it was killed, or to stop.
const END: Duration = Duration::from_secs(60);

/// Sends a signal to a process of the lab, by its outer pid.
pub(crate) fn signal(space: &Space, pid: u32, signal: Signal) -> Result<(), Failure> {
    send(space.pids(), pid, signal)?.ok_or_else(|| Failure::new(format!("{pid} has ended")))
}

/// Stops a process of the lab with SIGSTOP, until [`thaw`]. The signal is taken by one thread, and the others run on until
/// that one has been scheduled; so this waits until all have stopped.
pub(crate) fn freeze(space: &Space, pid: u32) -> Result<(), Failure> {
    signal(space, pid, Signal::STOP)?;
    let what = format!("all threads of process {pid} to stop");
    until(END, &what, || stopped(pid).then_some(()))
}

/// Continues a frozen process.
pub(crate) fn thaw(space: &Space, pid: u32) -> Result<(), Failure> {
    signal(space, pid, Signal::CONT)
}

/// Sends a signal to a process of that pid namespace; `None` if it has ended. Its pid may have been reused by now, and
/// nothing outside the lab may be touched.
fn send(namespace: &Path, pid: u32, signal: Signal) -> Result<Option<()>, Failure> {
    if !is_in(namespace, pid) {
        return Ok(None);
    }
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let raw = raw.ok_or_else(|| Failure::new(format!("{pid} is not a pid")))?;
    match kill_process(raw, signal) {
        Ok(()) => Ok(Some(())),
        Err(Errno::SRCH) => Ok(None),
        Err(e) => Err(Failure::new(format!("signal {signal:?} to {pid}: {e}"))),
    }
}

/// Waits until a process of the lab has ended and its parent has reaped it: for glusterd, a zombie is a running brick.
pub(crate) fn await_end(space: &Space, pid: u32, deadline: Duration) -> Result<(), Failure> {
    await_end_in(space.pids(), pid, deadline)
}

fn await_end_in(namespace: &Path, pid: u32, deadline: Duration) -> Result<(), Failure> {
    let gone = || (!is_in(namespace, pid)).then_some(());
    until(deadline, &format!("the end of process {pid}"), gone)
}

/// Signals a process of the lab and waits until it has ended; sends KILL after the deadline.
pub(crate) fn end(
    space: &Space,
    pid: u32,
    first: Signal,
    deadline: Duration,
) -> Result<(), Failure> {
    match send(space.pids(), pid, first)? {
        Some(()) => await_end(space, pid, deadline).or_else(|_| kill(space, pid)),
        None => Ok(()),
    }
}

/// Kills a process of the lab, if it still exists, and waits until it has ended.
pub(crate) fn kill(space: &Space, pid: u32) -> Result<(), Failure> {
    kill_in(space.pids(), pid)
}

fn kill_in(namespace: &Path, pid: u32) -> Result<(), Failure> {
    match send(namespace, pid, Signal::KILL)? {
        Some(()) => await_end_in(namespace, pid, END),
        None => Ok(()),
    }
}

/// A program that runs in the lab until it is killed.
#[derive(Debug)]
pub(crate) struct Daemon {
    pid: u32,
    /// The lab's pid namespace.
    namespace: PathBuf,
    /// Path of its output in the lab.
    pub(crate) output: PathBuf,
}

impl Daemon {
    /// Starts `program` in the lab with stdout and stderr in `output`.
    ///
    /// Its parent is the lab's pid 1. If it were nsenter, that would stop itself when its child is stopped and then
    /// never reap it, and the lab could not end.
    pub(crate) fn start(
        space: &Space,
        program: &str,
        args: &[&str],
        output: PathBuf,
    ) -> Result<Self, Failure> {
        const SCRIPT: &str = "out=$1; shift; setsid \"$@\" >>\"$out\" 2>&1 & echo $!";
        let words = [
            "-c".as_ref(),
            SCRIPT.as_ref(),
            "start".as_ref(),
            output.as_os_str(),
        ];
        let words = words.into_iter().chain([program.as_ref()]);
        let printed = space
            .run("bash", words.chain(args.iter().map(AsRef::as_ref)))?
            .check()?;
        let inner = printed.trim().parse().ok();
        let pid = inner
            .and_then(|inner| space.outer_pid(inner))
            .ok_or_else(|| {
                let printed = fs::read_to_string(space.outer(&output)).unwrap_or_default();
                Failure::new(format!("{program} {args:?} exited immediately")).with(printed)
            })?;
        Ok(Self {
            pid,
            namespace: space.pids().to_owned(),
            output,
        })
    }

    /// Outer pid.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it is still running.
    pub(crate) fn alive(&self) -> bool {
        is_in(&self.namespace, self.pid) && alive(self.pid)
    }

    /// Kills it and waits until it has ended.
    pub(crate) fn kill(&self) -> Result<(), Failure> {
        kill_in(&self.namespace, self.pid)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
