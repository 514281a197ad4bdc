// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Servers that run in the lab during one test.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, thread};

use cloudsync_lab::{ADDRESS, Outcome, until};

use crate::scene::lab;

/// A background program in the lab. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Daemon {
    /// Its process id in the lab's namespace.
    pid: String,
    output: PathBuf,
}

impl Daemon {
    /// Starts it and waits until its port accepts connections; otherwise returns the reason and its output.
    pub(super) fn start(name: &str, command: &str, port: u16) -> Result<Self, String> {
        let output = lab().scratch(&format!("log/{name}.out"));
        let script = format!(
            "setsid {command} </dev/null >>{} 2>&1 & echo $!",
            output.display()
        );
        let pid = lab().sh(&script).unwrap().trim().to_owned();
        let daemon = Self { pid, output };
        let probe = format!("exec 3<>/dev/tcp/{ADDRESS}/{port}");
        let answers = until(Duration::from_secs(40), "the daemon's port", || {
            let probed = lab().run("bash", ["-c", &probe]);
            if probed.as_ref().is_ok_and(Outcome::success) {
                return Some(true);
            }
            (!daemon.runs()).then_some(false)
        });
        match answers {
            Ok(true) => Ok(daemon),
            answer => Err(format!("{answer:?}\n{}", daemon.printed())),
        }
    }

    fn runs(&self) -> bool {
        lab().run("kill", ["-0", &self.pid]).unwrap().success()
    }

    pub(super) fn printed(&self) -> String {
        fs::read_to_string(lab().outer(&self.output)).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- {}\n{}", self.output.display(), self.printed());
        }
        let group = format!("-{}", self.pid);
        let _ = lab().run("kill", ["-TERM", "--", &group]);
        let ended = until(Duration::from_secs(20), "the daemon's end", || {
            (!self.runs()).then_some(())
        });
        if ended.is_err() {
            let _ = lab().run("kill", ["-KILL", "--", &group]);
        }
    }
}
