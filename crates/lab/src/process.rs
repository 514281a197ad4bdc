// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Processes of the lab that this process starts, signals and awaits.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::run::{Failure, until};
use crate::space::Space;

/// Sends a signal to a process, by its pid here.
pub(crate) fn signal(pid: u32, signal: Signal) -> Result<(), Failure> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let raw = raw.ok_or_else(|| Failure::new(format!("{pid} is no pid")))?;
    kill_process(raw, signal).map_err(|e| Failure::new(format!("signal {signal:?} to {pid}: {e}")))
}

/// Whether it still runs; a zombie does not.
pub(crate) fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Signals a process and waits until it is gone; KILL after the deadline.
pub(crate) fn end(pid: u32, first: Signal, deadline: Duration) -> Result<(), Failure> {
    if !alive(pid) {
        return Ok(());
    }
    signal(pid, first)?;
    let gone = || (!alive(pid)).then_some(());
    if until(deadline, "the end of a process", gone).is_ok() {
        return Ok(());
    }
    let _ = signal(pid, Signal::KILL);
    until(
        Duration::from_secs(10),
        &format!("the end of process {pid}"),
        gone,
    )
}

/// A program that runs in the lab until it is killed.
#[derive(Debug)]
pub(crate) struct Daemon {
    pid: u32,
    /// Its output, as seen in the lab.
    pub(crate) output: PathBuf,
}

impl Daemon {
    /// Starts `program` in the lab with both outputs in `output`.
    ///
    /// Its parent is the lab's pid 1. nsenter would stop itself when its child is stopped, and
    /// then never reap it: the lab could not end.
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
        let said = space
            .run("bash", words.chain(args.iter().map(AsRef::as_ref)))?
            .check()?;
        let inner = said.trim().parse().ok();
        let pid = inner
            .and_then(|inner| space.outer_pid(inner))
            .ok_or_else(|| {
                let said = fs::read_to_string(space.outer(&output)).unwrap_or_default();
                Failure::new(format!("{program} {args:?} ended at once")).with(said)
            })?;
        Ok(Self { pid, output })
    }

    /// Its pid here.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it still runs.
    pub(crate) fn alive(&self) -> bool {
        alive(self.pid)
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(&self) -> Result<(), Failure> {
        end(self.pid, Signal::KILL, Duration::from_secs(10))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
