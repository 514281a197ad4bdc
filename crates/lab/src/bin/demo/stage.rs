// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs the demo's commands in the lab's shell and shows them.

use std::fs;
use std::time::Duration;

use cloudsync_lab::{Failure, Lab, User, until};

/// Far longer than any command of the demo takes.
const PATIENCE: Duration = Duration::from_secs(120);
/// The log of the client that `mount -t glusterfs` starts for /mnt/demo.
const LOG: &str = "/var/log/glusterfs/mnt-demo.log";
/// The secret key as it appears in commands.
const SECRET: &str = "\"$SECRET\"";

/// The lab's shell, with the environment that the commands need.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    /// The S3 server, if that is the store.
    pub(crate) s3: Option<S3>,
}

/// An S3 server and the user whose keys are used.
#[derive(Debug)]
pub(crate) struct S3 {
    pub(crate) url: String,
    pub(crate) user: User,
}

impl Stage {
    /// Runs a command and returns what it printed.
    pub(crate) fn quietly(&self, command: &str) -> Result<String, Failure> {
        let words = ["-c", &format!("exec 2>&1; {command}")];
        let mut outcome = self.lab.run_with(PATIENCE, "bash", words, |shell| {
            shell.env("LC_ALL", "C.UTF-8").env("TIMEFORMAT", "%3R s");
            let Some(s3) = &self.s3 else { return };
            shell.env("S3", &s3.url).env("SECRET", &s3.user.secret);
            // Not for mount: the client has to get its keys from the volume's settings.
            if command.starts_with("aws ") {
                shell.envs(s3.user.environment());
            }
        })?;
        outcome.what = command.to_owned();
        outcome.check()
    }

    /// Shows a command, runs it and shows what it printed.
    pub(crate) fn run(&self, command: &str) -> Result<String, Failure> {
        self.show(command, |output| output)
    }

    /// The same, but shows only the last line of the output.
    pub(crate) fn run_for_last_line(&self, command: &str) -> Result<String, Failure> {
        self.show(command, |output| output.lines().last().unwrap_or_default())
    }

    fn show(&self, command: &str, part: fn(&str) -> &str) -> Result<String, Failure> {
        println!("  $ {}", command.replace(SECRET, "***"));
        let output = self.quietly(command)?;
        // getfattr repeats the file's name and prints an empty line at the end.
        let relevant = |line: &&str| !line.is_empty() && !line.starts_with("# file:");
        for line in part(&output).lines().filter(relevant) {
            println!("  {}", self.without_secret(line));
        }
        Ok(output)
    }

    /// Our marks on the brick's file; empty for an ordinary file.
    pub(crate) fn marks(&self, file: &str) -> Result<String, Failure> {
        self.quietly(&list_marks(file))
    }

    /// Readers get the last byte before it is safe on the brick, so this waits for the commit.
    pub(crate) fn await_commit(&self, file: &str) -> Result<(), Failure> {
        let what = format!("{file} to be an ordinary file again");
        until(Duration::from_secs(30), &what, || match self.marks(file) {
            Ok(marks) if marks.is_empty() => Some(Ok(())),
            Ok(_) => None,
            Err(failure) => Some(Err(failure)),
        })?
    }

    /// Adds the end of the client's log to a failure and hides the secret.
    pub(crate) fn with_client_log(&self, failure: &Failure) -> Failure {
        let log = fs::read(self.lab.outer(LOG)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        // The rest is the volfile, which every client logs: "  7:     option ...".
        let lines: Vec<&str> = log.lines().filter(|line| line.starts_with('[')).collect();
        let mut tail = lines[lines.len().saturating_sub(20)..].join("\n");
        if tail.is_empty() {
            tail.push_str("(no client has written one)");
        }
        let text = format!("{failure}\n--- the end of the client's log\n{tail}");
        Failure::new(self.without_secret(&text))
    }

    fn without_secret(&self, text: &str) -> String {
        match &self.s3 {
            Some(s3) => text.replace(&s3.user.secret, "***"),
            None => text.to_owned(),
        }
    }
}

/// The command that lists what [`Stage::marks`] returns.
pub(crate) fn list_marks(file: &str) -> String {
    format!("getfattr --absolute-names -d -m trusted.glusterfs.cs /srv/brick/{file}")
}
