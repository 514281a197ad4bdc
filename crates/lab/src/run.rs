// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs a program with a deadline, and describes what ran when it failed.

use crate::memcheck;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Why the lab could not do something: the command, its output and the relevant logs.
///
/// `Debug` prints the text unescaped, so that `unwrap` in a test is readable.
#[derive(Clone)]
pub struct Failure(String);

impl Failure {
    /// A failure with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The same failure with `more` appended.
    #[must_use]
    pub fn with(mut self, more: impl fmt::Display) -> Self {
        self.0.push_str(&format!("\n{more}"));
        self
    }

    /// An I/O error with the path that it is about.
    pub(crate) fn at(path: &Path, error: &io::Error) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// The result of running a program.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command line.
    pub what: String,
    /// `None` when the deadline passed first.
    pub status: Option<ExitStatus>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// How long it ran.
    pub took: Duration,
}

impl Outcome {
    /// Whether it exited in time with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// The exit code, if it exited by itself.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }

    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output, if it succeeded.
    ///
    /// # Errors
    /// With the command line, the status and both outputs, if it did not.
    pub fn check(self) -> Result<String, Failure> {
        if self.success() {
            Ok(self.text())
        } else {
            Err(Failure::new(self.to_string()))
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => writeln!(f, "$ {}\n{status} after {:.1?}", self.what, self.took)?,
            None => writeln!(f, "$ {}\nstill running after {:.1?}", self.what, self.took)?,
        }
        for (name, bytes) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !bytes.is_empty() {
                writeln!(
                    f,
                    "--- {name}\n{}",
                    String::from_utf8_lossy(bytes).trim_end()
                )?;
            }
        }
        Ok(())
    }
}

/// The command line without the environment.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs `command` and kills it when the deadline passes.
///
/// The outputs go to files in `scratch`, so that a daemon that keeps them open does not block the caller.
///
/// # Errors
/// When the program cannot be started; its exit status is in the outcome.
pub(crate) fn run(
    command: &mut Command,
    what: String,
    scratch: &Path,
    deadline: Duration,
) -> Result<Outcome, Failure> {
    let started = Instant::now();
    let mut out = nameless(scratch)?;
    let mut err = nameless(scratch)?;
    let clone = |file: &File| file.try_clone().map_err(|e| Failure::at(scratch, &e));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(clone(&out)?)
        .stderr(clone(&err)?)
        .spawn()
        .map_err(|e| Failure::new(format!("$ {what}\ncannot start: {e}")))?;
    let status = wait(&mut child, deadline);
    if status.is_none() {
        // A program stuck in the kernel cannot be killed; do not wait for it.
        let _ = child.kill();
    }
    Ok(Outcome {
        what,
        status,
        stdout: rewound(&mut out),
        stderr: rewound(&mut err),
        took: started.elapsed(),
    })
}

/// The child's status, or `None` if it has not ended by the deadline.
pub(crate) fn wait(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if started.elapsed() >= deadline {
            return None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Calls `ask` until it returns something. The last call is made after the deadline, so that a machine on which this
/// process was not scheduled does not cause a failure.
///
/// # Errors
/// When the deadline passes; the text names `what`.
pub fn until<T>(
    deadline: Duration,
    what: &str,
    mut probe: impl FnMut() -> Option<T>,
) -> Result<T, Failure> {
    let started = Instant::now();
    let deadline = memcheck::patience(deadline);
    loop {
        let late = started.elapsed() >= deadline;
        if let Some(answer) = probe() {
            return Ok(answer);
        }
        if late {
            return Err(Failure::new(format!(
                "waited {deadline:?} in vain for {what}"
            )));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// An unlinked file, which ceases to exist when it is closed.
fn nameless(scratch: &Path) -> Result<File, Failure> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // The temporary directory is shared: other processes create such files there, and one that was killed before it
    // unlinked its own has left it.
    let stem = format!("cloudsync-lab.{}.output", std::process::id());
    loop {
        let path = scratch.join(format!("{stem}-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).open(&path);
        match file {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Failure::at(&path, &error)),
            Ok(file) => {
                std::fs::remove_file(&path).map_err(|e| Failure::at(&path, &e))?;
                return Ok(file);
            }
        }
    }
}

/// The file's content as text.
pub(crate) fn text(file: &mut File) -> String {
    String::from_utf8_lossy(&rewound(file)).into_owned()
}

/// The file's content.
fn rewound(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    if file.rewind().is_ok() {
        let _ = file.read_to_end(&mut bytes);
    }
    bytes
}
