// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What people and programs get to read: a bar on a terminal, a line for each file, or JSON.
//!
//! Results go to standard output, the bar and failures to standard error. With `--json` failures are events among
//! the others.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::cli::OutputFlags;
use crate::crawl::show;

/// What happened to a file.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Event {
    event: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl Event {
    pub(crate) fn new(event: &str, path: &Path) -> Self {
        Self {
            event: event.to_owned(),
            path: show(path),
            bytes: None,
            why: None,
            key: None,
        }
    }

    pub(crate) fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    pub(crate) fn why(mut self, why: &str) -> Self {
        self.why = Some(why.to_owned());
        self
    }

    pub(crate) fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    fn line(&self) -> String {
        let mut line = format!("{} {}", self.event, self.path);
        if let Some(bytes) = self.bytes {
            line += &format!(" ({})", human(bytes));
        }
        if let Some(key) = &self.key {
            line += &format!(" as {key}");
        }
        if let Some(why) = &self.why {
            line += &format!(": {why}");
        }
        line
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) seen: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
}

/// Where all of it goes.
#[derive(Debug)]
pub(crate) struct Screen {
    json: bool,
    verbose: bool,
    bar: ProgressBar,
    /// How many there are, once that is known.
    files: AtomicU64,
}

impl Screen {
    pub(crate) fn new(flags: &OutputFlags) -> Self {
        let visible = !flags.json && !flags.no_progress && std::io::stderr().is_terminal();
        let bar = if visible {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        } else {
            ProgressBar::hidden()
        };
        Self {
            json: flags.json,
            verbose: flags.verbose > 0,
            bar,
            files: AtomicU64::new(0),
        }
    }

    /// While it is not yet known how much there is to do.
    pub(crate) fn looking(&self, progress: impl FnOnce() -> Progress) {
        if !self.bar.is_hidden() && self.bar.length().is_none() {
            let Progress { seen, done, .. } = progress();
            if seen.is_multiple_of(64) {
                let (seen, done) = (HumanCount(seen), HumanCount(done));
                self.bar
                    .set_message(format!("{seen} files checked, {done} done"));
            }
        }
    }

    /// Now it is known.
    pub(crate) fn expect(&self, files: u64, bytes: u64) {
        const STYLE: &str = "{bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} {msg}";
        if !self.bar.is_hidden() {
            if let Ok(style) = ProgressStyle::with_template(STYLE) {
                self.bar.set_style(style);
            }
            self.bar.set_length(bytes);
            self.files.store(files, Ordering::Relaxed);
            self.bar
                .set_message(format!("0 of {} files", HumanCount(files)));
        }
    }

    /// So many more bytes are on their way.
    pub(crate) fn sending(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// A file is dealt with, and with it so many bytes more.
    pub(crate) fn advance(&self, bytes: u64, progress: impl FnOnce() -> Progress) {
        if !self.bar.is_hidden() {
            self.bar.inc(bytes);
            let Progress { done, failed, .. } = progress();
            let failed = if failed > 0 {
                format!(", {failed} failed")
            } else {
                String::new()
            };
            let left = HumanDuration(self.bar.eta());
            let message = match self.files.load(Ordering::Relaxed) {
                0 => format!("{} files{failed}", HumanCount(done)),
                all => format!(
                    "{} of {} files{failed}, {left} left",
                    HumanCount(done),
                    HumanCount(all)
                ),
            };
            self.bar.set_message(message);
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// What only those want to read who asked for it.
    pub(crate) fn event(&self, event: &Event) {
        if self.verbose {
            self.always(event);
        }
    }

    /// What everybody wants to read.
    pub(crate) fn always(&self, event: &Event) {
        if self.json {
            self.json(event);
        } else {
            self.print(&event.line());
        }
    }

    /// What went wrong.
    pub(crate) fn failure(&self, event: &Event) {
        if self.json {
            self.json(event);
        } else {
            self.bar
                .suspend(|| eprintln!("cloudsync: {}", event.line()));
        }
    }

    /// The last word.
    pub(crate) fn summary(&self, line: &str, summary: &impl Serialize) {
        self.clear();
        if self.json {
            self.json(summary);
        } else {
            self.print(line);
        }
    }

    /// A line of JSON.
    pub(crate) fn json(&self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(value) {
            self.print(&text);
        }
    }

    /// A line. A reader that went away (`| head`) is no reason to stop in the middle of the work.
    pub(crate) fn print(&self, line: &str) {
        self.bar.suspend(|| {
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        });
    }

    pub(crate) fn wants_json(&self) -> bool {
        self.json
    }
}

/// A number of bytes for people.
pub(crate) fn human(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
