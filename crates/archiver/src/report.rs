// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Prints results for people and programs: a progress bar on a terminal, a line for each file, or JSON.
//!
//! Results go to standard output, the progress bar and failures to standard error. With `--json`, failures are events
//! on standard output, too.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::cli::OutputFlags;
use crate::crawl::show;
use crate::metrics;

/// An outcome for one file. The field names are the keys of the JSON output.
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

/// Counts for the progress bar.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) seen: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
}

/// Where results and progress are printed.
#[derive(Debug)]
pub(crate) struct Screen {
    json: bool,
    verbose: bool,
    bar: ProgressBar,
    /// The total number of files, once it is known; else 0.
    files: AtomicU64,
    /// What is looked through, and what is done with some.
    words: (&'static str, &'static str),
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
            words: ("files", "done"),
        }
    }

    /// With other words for the progress: `objects` are looked through, and some are `unreferenced`.
    pub(crate) const fn about(mut self, things: &'static str, done: &'static str) -> Self {
        self.words = (things, done);
        self
    }

    /// Updates the progress while the total is not known yet.
    pub(crate) fn looking(&self, progress: impl FnOnce() -> Progress) {
        if !self.bar.is_hidden() && self.bar.length().is_none() {
            let progress = progress();
            self.bar.set_position(progress.seen);
            let message = looked(self.words, &progress, self.bar.per_sec());
            self.bar.set_message(message);
        }
    }

    /// Sets the totals, once they are known.
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

    /// Advances the bar by bytes that are being sent.
    pub(crate) fn sending(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// Records that a file is finished, and advances the bar by its remaining bytes.
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

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Prints an event only with --verbose.
    pub(crate) fn event(&self, event: &Event) {
        if self.verbose {
            self.always(event);
        }
    }

    /// Prints an event.
    pub(crate) fn always(&self, event: &Event) {
        if self.json {
            self.json(event);
        } else {
            self.print(&event.line());
        }
    }

    /// Prints a failure.
    pub(crate) fn failure(&self, event: &Event) {
        if self.json {
            self.json(event);
        } else {
            self.bar
                .suspend(|| eprintln!("cloudsync: {}", event.line()));
        }
    }

    /// Removes the bar, and prints the final summary.
    pub(crate) fn summary(&self, line: &str, summary: &impl Serialize) {
        self.clear();
        metrics::run::note(&[], summary);
        if self.json {
            self.json(summary);
        } else {
            self.print(line);
        }
    }

    /// Prints a value as one line of JSON.
    pub(crate) fn json(&self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(value) {
            self.print(&text);
        }
    }

    /// Prints a line. Errors are ignored: a reader that closed the pipe (`| head`) must not stop the work.
    pub(crate) fn print(&self, line: &str) {
        self.bar.suspend(|| {
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        });
    }

    pub(crate) fn wants_json(&self) -> bool {
        self.json
    }
}

/// Formats a number of bytes for people, in binary units.
pub(crate) fn human(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// The progress while the total is not known, at `rate` things per second.
fn looked((things, verb): (&str, &str), progress: &Progress, rate: f64) -> String {
    let Progress { seen, done, failed } = *progress;
    let mut message = format!("{} {things}, {} {verb}", HumanCount(seen), HumanCount(done));
    if failed > 0 {
        message += &format!(", {} failed", HumanCount(failed));
    }
    message + &format!(", {rate:.0}/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_names_what_is_counted() {
        let mut progress = Progress {
            seen: 12_000,
            done: 7,
            failed: 0,
        };
        let text = |progress: &Progress| looked(("objects", "unreferenced"), progress, 99.7);
        assert_eq!(text(&progress), "12,000 objects, 7 unreferenced, 100/s");
        progress.failed = 2;
        assert_eq!(
            text(&progress),
            "12,000 objects, 7 unreferenced, 2 failed, 100/s"
        );
    }
}
