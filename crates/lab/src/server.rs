// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Servers of others that run in the lab for a while, as smbd does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, thread};

use crate::lab::Lab;
use crate::run::{Failure, Outcome, until};
use crate::space::{ADDRESS, Space};

/// A background program in the lab that accepts connections. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    space: Arc<Space>,
    /// Its process id in the lab's namespace.
    pid: String,
    output: PathBuf,
}

impl Server {
    /// Starts it and waits until its port accepts connections.
    ///
    /// # Errors
    /// With its output, when it does not.
    pub fn start(lab: &Lab, name: &str, command: &str, port: u16) -> Result<Self, Failure> {
        let output = lab.scratch(&format!("log/{name}.out"));
        let script = format!(
            "setsid {command} </dev/null >>{} 2>&1 & echo $!",
            output.display()
        );
        let pid = lab.sh(&script)?.trim().to_owned();
        let server = Self {
            space: Arc::clone(&lab.space),
            pid,
            output,
        };
        let probe = format!("exec 3<>/dev/tcp/{ADDRESS}/{port}");
        let answers = until(Duration::from_secs(40), "the server's port", || {
            let probed = lab.run("bash", ["-c", &probe]);
            if probed.as_ref().is_ok_and(Outcome::success) {
                return Some(true);
            }
            (!server.runs()).then_some(false)
        });
        match answers {
            Ok(true) => Ok(server),
            Ok(false) => Err(Failure::new(format!("{name} has ended")).with(server.printed())),
            Err(failure) => Err(failure.with(server.printed())),
        }
    }

    fn runs(&self) -> bool {
        let asked = self.space.run("kill", ["-0", &self.pid]);
        asked.is_ok_and(|asked| asked.success())
    }

    /// What it has printed.
    #[must_use]
    pub fn printed(&self) -> String {
        fs::read_to_string(self.space.outer(&self.output)).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- {}\n{}", self.output.display(), self.printed());
        }
        let group = format!("-{}", self.pid);
        let _ = self.space.run("kill", ["-TERM", "--", &group]);
        let ended = until(Duration::from_secs(20), "the server's end", || {
            (!self.runs()).then_some(())
        });
        if ended.is_err() {
            let _ = self.space.run("kill", ["-KILL", "--", &group]);
        }
    }
}
