// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The metrics of one client of one volume.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::labels::{Cause, Handshake, Limit, Request};
use crate::now::{Gauged, Now};
use crate::registration::{Builder, Counters, Histograms, seconds};

/// Sums for the statedump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Files recalled.
    pub recalled: u64,
    /// Their bytes.
    pub recalled_bytes: u64,
    /// Recalls that failed.
    pub failed: u64,
    /// Files made cold.
    pub archived: u64,
    /// Cold files that kept the bytes that they had.
    pub kept: u64,
    /// Changes of the volume's options.
    pub option_changes: u64,
    /// Reads served from the store.
    pub remote_reads: u64,
}

/// See the module. Cheap to count in from any thread.
pub struct Client {
    registry: Registry,
    started: Counter,
    finished: Counter,
    recalled: Counter,
    failed: Counters,
    kept: Counter,
    handshakes: Counters,
    remote_reads: Counter,
    limited: Counters,
    option_changes: Counter,
    first_bytes: Histogram,
    whole_file: Histogram,
    lock_wait: Histogram,
    request_errors: Counters,
    request_seconds: Histograms,
    received: Counter,
    throttled: Counter,
    gauges: Gauged,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?})", self.sums())
    }
}

impl Client {
    /// The metrics of that volume; `version` is ours, and `host` GlusterFS's.
    #[must_use]
    pub fn new(volume: &str, version: &str, host: &str) -> Self {
        let label = ("volume".into(), volume.to_owned().into());
        let mut build = Builder(Registry::with_prefix_and_labels(
            "cloudsync",
            [label].into_iter(),
        ));
        let about = vec![
            ("version", version.to_owned()),
            ("gluster", host.to_owned()),
        ];
        let build_info = Family::<Vec<(&'static str, String)>, Gauge>::default();
        build_info.get_or_create(&about).set(1);
        build.one("build", "What this client runs", build_info);
        let histograms: Histograms = Family::new_with_constructor(seconds);
        for request in Request::ALL {
            let _created = histograms.get_or_create(&[("request", request.text())]);
        }
        let requests = Request::ALL.map(Request::text);
        Self {
            started: build.counter("recalls_started", "Recalls that began"),
            finished: build.counter(
                "recalls_finished",
                "Recalls that ended, with the file local",
            ),
            recalled: build.of(Unit::Bytes, "recalled", "Bytes of them", Counter::default()),
            failed: build.counters(
                "recalls_failed",
                "Recalls that failed, by cause; the files are still cold",
                "cause",
                Cause::ALL.map(Cause::text),
            ),
            kept: build.counter(
                "files_kept",
                "Cold files that became local because they had bytes that no recall had written",
            ),
            handshakes: build.counters(
                "handshakes",
                "Handshakes of archivers, by outcome",
                "outcome",
                Handshake::ALL.map(Handshake::text),
            ),
            remote_reads: build.counter(
                "remote_reads",
                "Reads that were served from the store while the file stays cold",
            ),
            limited: build.counters(
                "limited",
                "Reads and recalls that a limit held back",
                "by",
                Limit::ALL.map(Limit::text),
            ),
            option_changes: build.counter(
                "option_changes",
                "Changes of the volume's options that arrived here, valid or not",
            ),
            first_bytes: build.of(
                Unit::Seconds,
                "first_bytes",
                "From the beginning of a recall to its first bytes",
                seconds(),
            ),
            whole_file: build.of(
                Unit::Seconds,
                "whole_file",
                "From the beginning of a recall to its end",
                seconds(),
            ),
            lock_wait: build.of(
                Unit::Seconds,
                "lock_wait",
                "How long recalls and handshakes waited for a file's lock",
                seconds(),
            ),
            request_errors: build.counters(
                "store_errors",
                "Calls of the store's plugin that failed",
                "request",
                requests,
            ),
            request_seconds: build.of(
                Unit::Seconds,
                "store_request",
                "How long calls of the store's plugin took",
                histograms,
            ),
            received: build.of(
                Unit::Bytes,
                "store_received",
                "Bytes of objects that came from the store",
                Counter::default(),
            ),
            throttled: build.counter(
                "store_throttled",
                "How often the store asked for fewer requests",
            ),
            gauges: Gauged::new(&mut build),
            registry: build.0,
        }
    }

    /// A recall begins.
    pub fn recall_started(&self) {
        self.started.inc();
    }

    /// A recall's first bytes have come, that long after it began.
    pub fn first_bytes(&self, after: Duration) {
        self.first_bytes.observe(after.as_secs_f64());
    }

    /// A recall has ended.
    pub fn recall_finished(&self, bytes: u64, took: Duration) {
        self.finished.inc();
        self.recalled.inc_by(bytes);
        self.whole_file.observe(took.as_secs_f64());
    }

    /// A recall has failed.
    pub fn recall_failed(&self, cause: Cause) {
        self.failed.get_or_create(&[("cause", cause.text())]).inc();
    }

    /// A cold file became local with the bytes that it had.
    pub fn kept(&self) {
        self.kept.inc();
    }

    /// A file's lock was waited for.
    pub fn locked(&self, after: Duration) {
        self.lock_wait.observe(after.as_secs_f64());
    }

    /// A handshake has ended.
    pub fn handshake(&self, outcome: Handshake) {
        let label = [("outcome", outcome.text())];
        self.handshakes.get_or_create(&label).inc();
    }

    /// A read is served from the store.
    pub fn remote_read(&self) {
        self.remote_reads.inc();
    }

    /// A limit held back a read or a recall.
    pub fn limited(&self, by: Limit) {
        self.limited.get_or_create(&[("by", by.text())]).inc();
    }

    /// A change of the options has arrived.
    pub fn options_changed(&self) {
        self.option_changes.inc();
    }

    /// The store's plugin has returned.
    pub fn requested(&self, what: Request, took: Duration, failed: bool) {
        let label = [("request", what.text())];
        if failed {
            self.request_errors.get_or_create(&label).inc();
        }
        let seconds = self.request_seconds.get_or_create(&label);
        seconds.observe(took.as_secs_f64());
    }

    /// Bytes have come from the store.
    pub fn received(&self, bytes: u64) {
        self.received.inc_by(bytes);
    }

    /// The store asks for fewer requests.
    pub fn throttled(&self) {
        self.throttled.inc();
    }

    /// What has been counted so far.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let failed = |cause: Cause| self.failed.get_or_create(&[("cause", cause.text())]).get();
        let archived = [("outcome", Handshake::Archived.text())];
        Sums {
            recalled: self.finished.get(),
            recalled_bytes: self.recalled.get(),
            failed: Cause::ALL.into_iter().map(failed).sum(),
            archived: self.handshakes.get_or_create(&archived).get(),
            kept: self.kept.get(),
            option_changes: self.option_changes.get(),
            remote_reads: self.remote_reads.get(),
        }
    }

    /// All metrics, as OpenMetrics text.
    #[must_use]
    pub fn text(&self, now: &Now) -> String {
        self.gauges.set(now);
        let mut written = String::new();
        // Writing to a String does not fail.
        let _written = text::encode(&mut written, &self.registry);
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_label_exists_before_the_first_event() {
        let text = Client::new("vol", "1", "10.3").text(&Now::default());
        for cause in Cause::ALL {
            let line = format!(
                "cloudsync_recalls_failed_total{{volume=\"vol\",cause=\"{}\"}} 0\n",
                cause.text()
            );
            assert!(text.contains(&line), "{line}{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        assert!(
            text.len() < 32 << 10,
            "an attribute holds 64 KiB: {}",
            text.len()
        );
    }

    #[test]
    fn what_happens_is_counted() {
        let client = Client::new("vol", "1", "10.3");
        client.recall_started();
        client.recall_finished(4096, Duration::from_millis(20));
        client.recall_failed(Cause::Missing);
        client.recall_failed(Cause::Full);
        client.handshake(Handshake::Refused);
        client.requested(Request::Fetch, Duration::from_millis(2), true);
        client.received(4096);
        let text = client.text(&Now {
            memory: (1, 2),
            store: "amazons3".to_owned(),
            ..Now::default()
        });
        for line in [
            "cloudsync_recalls_started_total{volume=\"vol\"} 1",
            "cloudsync_recalled_bytes_total{volume=\"vol\"} 4096",
            "cloudsync_recalls_failed_total{volume=\"vol\",cause=\"missing\"} 1",
            "cloudsync_whole_file_seconds_bucket{volume=\"vol\",le=\"0.03\"} 1",
            "cloudsync_whole_file_seconds_bucket{volume=\"vol\",le=\"0.01\"} 0",
            "cloudsync_store_errors_total{volume=\"vol\",request=\"fetch\"} 1",
            "cloudsync_memory_limit_bytes{volume=\"vol\"} 2",
            "cloudsync_store{volume=\"vol\",name=\"amazons3\"} 1",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
        }
        let sums = client.sums();
        assert_eq!((sums.recalled, sums.failed, sums.archived), (1, 2, 0));
    }
}
