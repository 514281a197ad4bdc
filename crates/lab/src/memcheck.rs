// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs clients under valgrind's memcheck, and finds the reports that our code causes.
//!
//! The host and the kernel bindings have reports too. One is ours when the code that did it, or that allocated what was
//! lost, is in one of our objects. Frames in libraries that everything calls, such as libc, are skipped.
//!
//! With `CLOUDSYNC_MEMCHECK=DIR` every client of a lab runs under valgrind and writes its reports to DIR, and all
//! deadlines are extended accordingly.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const VARIABLE: &str = "CLOUDSYNC_MEMCHECK";

/// Valgrind makes a client twenty to fifty times slower.
const SLOWER: u32 = 20;

/// Objects that are ours.
const OURS: [&str; 2] = ["/cloudsync.so", "/cloudsync-plugins/"];

/// The command that runs a client under valgrind, with reports in files whose names begin with this path.
#[must_use]
pub fn valgrind_command(reports: &Path) -> Vec<String> {
    let file = format!("--xml-file={}.%p", reports.display());
    let words = [
        "valgrind",
        "--tool=memcheck",
        "--leak-check=full",
        "--show-leak-kinds=definite",
        "--errors-for-leak-kinds=definite",
        "--keep-debuginfo=yes",
        "--num-callers=40",
        // Threads take turns; without this, one may wait forever.
        "--fair-sched=try",
        "--xml=yes",
        &file,
    ];
    words.map(str::to_owned).to_vec()
}

/// The command from the environment, under which each client runs.
pub(crate) fn everywhere() -> Vec<String> {
    folder().map_or_else(Vec::new, |folder| valgrind_command(&folder.join("client")))
}

/// Extends a deadline, if clients run under valgrind.
pub(crate) fn patience(deadline: Duration) -> Duration {
    if folder().is_some() {
        deadline * SLOWER
    } else {
        deadline
    }
}

fn folder() -> Option<PathBuf> {
    env::var_os(VARIABLE)
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
}

/// One report.
#[derive(Debug)]
pub struct Report {
    /// `InvalidRead`, `Leak_DefinitelyLost` and so on.
    pub kind: String,
    /// Its full text.
    pub text: String,
}

/// The reports about some clients.
#[derive(Debug, Default)]
pub struct Reports {
    /// Number of client processes. (The one that starts a client and the one in the background count as two.)
    pub clients: usize,
    /// How many of them exited normally and were checked for leaks.
    pub ended: usize,
    /// Number of reports.
    pub all: usize,
    /// Reports that are ours.
    pub ours: Vec<Report>,
}

/// Reads the reports in files of `folder` whose names begin with `stem`.
///
/// # Errors
/// When a file cannot be read.
pub fn reports(folder: &Path, stem: &str) -> io::Result<Reports> {
    let mut reports = Reports::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(stem) {
            reports.read(&fs::read_to_string(entry.path())?);
        }
    }
    Ok(reports)
}

impl Reports {
    fn read(&mut self, text: &str) {
        self.clients += 1;
        self.ended += usize::from(text.contains("</valgrindoutput>"));
        for error in inner(text, "error") {
            self.all += 1;
            let kind = inner(error, "kind")
                .first()
                .copied()
                .unwrap_or_default()
                .to_owned();
            let stack = inner(error, "stack").first().copied().unwrap_or_default();
            let mut objects = inner(stack, "obj").into_iter();
            let ours = if kind.starts_with("Leak_") {
                objects.any(is_ours)
            } else {
                objects
                    .find(|object| !is_common(object))
                    .is_some_and(is_ours)
            };
            if ours {
                let text = error.to_owned();
                self.ours.push(Report { kind, text });
            }
        }
    }
}

fn is_ours(object: &str) -> bool {
    OURS.iter().any(|ours| object.contains(ours))
}

fn is_common(object: &str) -> bool {
    ["vgpreload", "/libc.so", "/libpthread", "/ld-linux"]
        .iter()
        .any(|library| object.contains(library))
}

/// The contents of all elements with this tag; they must not be nested.
fn inner<'a>(text: &'a str, tag: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let parts = text.split(&*open).skip(1);
    parts
        .filter_map(|part| Some(part.split_once(&*close)?.0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: &str, objects: &[&str]) -> usize {
        let frames: String = objects
            .iter()
            .map(|object| format!("<frame><obj>{object}</obj></frame>"))
            .collect();
        let mut reports = Reports::default();
        reports.read(&format!(
            "<error><kind>{kind}</kind><stack>{frames}</stack></error>"
        ));
        assert_eq!(reports.all, 1);
        reports.ours.len()
    }

    #[test]
    fn report_is_ours_if_our_code_did_it_or_allocated_the_loss() {
        let (libc, ours, host) = (
            "/usr/lib/libc.so.6",
            "/x/cloudsync.so",
            "/x/libglusterfs.so",
        );
        assert_eq!(found("InvalidRead", &[libc, ours, host]), 1);
        assert_eq!(found("InvalidRead", &[host, ours]), 0);
        assert_eq!(found("Leak_DefinitelyLost", &[libc, host, ours]), 1);
        assert_eq!(found("Leak_DefinitelyLost", &[libc, host]), 0);
    }
}
