// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! An application without a mount: a C program (commands.h) that runs all the time, and gets its operations through a pipe.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use cloudsync_lab::{Lab, until};

use crate::Answer;
use crate::client::Client;
use crate::day::Errno;

/// No operation takes longer, whatever is wrong.
const LONGEST: Duration = Duration::from_secs(240);

/// The running program.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<io::Result<Vec<u8>>>,
    /// Outside and inside of the lab.
    pid: u32,
    inner: u32,
    /// What it was asked to do last, and what it may get then (`Client::may_get`).
    last: String,
    may_get: fn(&str) -> &'static [Errno],
    is_refused_stale_files: bool,
    rest: Duration,
}

impl Program {
    /// Compiles `tests/soak/NAME.c` and starts it.
    pub(crate) fn start<S: AsRef<OsStr>>(
        lab: &Lab,
        name: &str,
        libraries: &[&str],
        args: impl IntoIterator<Item = S>,
    ) -> Answer<Self> {
        let program = lab.scratch(name);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/soak");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-D_FILE_OFFSET_BITS=64", "-Wall", "-Werror", "-o"])
            .arg(lab.outer(&program))
            .arg(source.join(name).with_extension("c"))
            .args(libraries);
        if !compiler.status()?.success() {
            return Err(format!("{compiler:?}").into());
        }
        let mut child = lab
            .command(&program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or("no output")?;
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        // It is an error's text otherwise.
        let inner = line.trim().parse().map_err(|_| format!("{name}: {line}"))?;
        let pid = until(Duration::from_secs(60), "the program's process", || {
            lab.processes()
                .into_iter()
                .find(|pid| inner_pid(*pid) == Some(inner))
        })?;
        let (send, answers) = channel();
        // It ends with the program's output.
        thread::spawn(move || {
            while let Some(answer) = answer(&mut output) {
                if send.send(answer).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            input,
            answers,
            pid,
            inner,
            last: String::new(),
            may_get: |_| &[],
            is_refused_stale_files: false,
            rest: Duration::ZERO,
        })
    }

    /// What a command may get, besides what those of other clients may, and for how long nobody else may use a file that
    /// it has changed.
    pub(crate) fn allowing(self, may_get: fn(&str) -> &'static [Errno], rest: Duration) -> Self {
        Self {
            may_get,
            is_refused_stale_files: true,
            rest,
            ..self
        }
    }

    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    fn ask(
        &mut self,
        command: &str,
        path: &str,
        numbers: (u64, u64),
        bytes: &[u8],
    ) -> io::Result<Vec<u8>> {
        command.clone_into(&mut self.last);
        let gone = || io::Error::new(ErrorKind::BrokenPipe, "the program has ended");
        let input = self.input.as_mut().ok_or_else(gone)?;
        writeln!(input, "{command} /{path} {} {}", numbers.0, numbers.1)?;
        input.write_all(bytes)?;
        input.flush()?;
        match self.answers.recv_timeout(LONGEST) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                // Whatever it answers later would be taken for the next answer.
                self.input = None;
                Err(io::Error::new(ErrorKind::TimedOut, "no answer"))
            }
            Err(RecvTimeoutError::Disconnected) => {
                self.input = None;
                let ended = until(Duration::from_secs(10), "its end", || {
                    self.child.try_wait().ok().flatten()
                });
                let how = ended.map_or_else(|error| error.to_string(), |how| how.to_string());
                let text = format!("the program has ended: {how}");
                Err(io::Error::new(ErrorKind::BrokenPipe, text))
            }
        }
    }

    /// Lets it close what it has and end. False if it does not end well in time.
    pub(crate) fn end(&mut self, lab: &Lab) -> bool {
        self.input = None;
        let ended = until(Duration::from_secs(90), "the program's end", || {
            self.child.try_wait().ok().flatten()
        });
        if ended.is_err() {
            let _killed = lab.run("kill", ["-9", &self.inner.to_string()]);
            let _reaped = self.child.wait();
        }
        // GlusterFS itself sometimes crashes there (docs/RELIABILITY.md), so the exit code is not looked at.
        ended.is_ok()
    }
}

/// The next answer; `None` at the end of the output.
fn answer(output: &mut impl BufRead) -> Option<io::Result<Vec<u8>>> {
    let mut line = String::new();
    if output.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let words: Vec<_> = line.split_whitespace().collect();
    let [kind, number, length] = words[..] else {
        return Some(Err(io::Error::other(line)));
    };
    let mut bytes = vec![0; length.parse().ok()?];
    output.read_exact(&mut bytes).ok()?;
    if kind == "ok" {
        return Some(Ok(bytes));
    }
    Some(Err(io::Error::from_raw_os_error(number.parse().ok()?)))
}

/// The id of a process in the innermost namespace.
fn inner_pid(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

impl Client for Program {
    fn read(&mut self, path: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        self.ask("read", path, (offset, length), &[])
    }

    fn write(&mut self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.ask("write", path, (offset, bytes.len() as u64), bytes)
            .map(drop)
    }

    fn append(&mut self, path: &str, size: u64, bytes: &[u8]) -> io::Result<()> {
        self.ask("append", path, (size, bytes.len() as u64), bytes)
            .map(drop)
    }

    fn replace(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.ask("replace", path, (0, bytes.len() as u64), bytes)
            .map(drop)
    }

    fn truncate(&mut self, path: &str, size: u64) -> io::Result<()> {
        self.ask("truncate", path, (size, 0), &[]).map(drop)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let to = format!("/{to}\n");
        self.ask("rename", from, (0, 0), to.as_bytes()).map(drop)
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        self.ask("remove", path, (0, 0), &[]).map(drop)
    }

    fn was_killed(&self) -> bool {
        false
    }

    fn is_refused_stale_files(&self) -> bool {
        self.is_refused_stale_files
    }

    fn rest(&self) -> Duration {
        self.rest
    }

    fn may_get(&self) -> &'static [Errno] {
        (self.may_get)(&self.last)
    }
}
