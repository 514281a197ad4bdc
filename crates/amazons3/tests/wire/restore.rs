// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Objects that must be restored first, in a store that behaves like Amazon's: GET is refused until a copy exists.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use cloudsync_store::restores::{Restored, Speed, Wanted};
use cloudsync_store::{Archive, Store, StoreError};

use crate::server::{Reply, Request, Server};
use crate::{Memory, noise, object_of, open};

/// The state of the restored copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copy {
    None,
    /// A restore is running until then.
    Ongoing(Instant),
    Available,
}

/// The header of a restored object.
const RESTORED: &str = "ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2040 00:00:00 GMT\"";

/// A store with one object of class `class`, whose restore takes `duration`.
struct Glacier {
    copy: Mutex<Copy>,
    duration: Duration,
    class: &'static str,
    bytes: Vec<u8>,
}

impl Glacier {
    fn new(duration: Duration) -> Self {
        Self {
            copy: Mutex::new(Copy::None),
            duration,
            class: "DEEP_ARCHIVE",
            bytes: noise(300_000),
        }
    }

    fn answer(&self, request: &Request) -> Reply {
        let mut copy = self.copy.lock().unwrap();
        if matches!(*copy, Copy::Ongoing(until) if Instant::now() >= until) {
            *copy = Copy::Available;
        }
        match (request.method.as_str(), *copy) {
            ("POST", Copy::None) => {
                *copy = Copy::Ongoing(Instant::now() + self.duration);
                Reply::new(202)
            }
            ("POST", Copy::Ongoing(_)) => Reply::error(409, "RestoreAlreadyInProgress"),
            ("POST", Copy::Available) => Reply::new(200),
            ("HEAD", state) => {
                let reply =
                    Reply::object(request, &self.bytes).header("x-amz-storage-class", self.class);
                match state {
                    Copy::None => reply,
                    Copy::Ongoing(_) => reply.header("x-amz-restore", "ongoing-request=\"true\""),
                    Copy::Available => reply.header("x-amz-restore", RESTORED),
                }
            }
            (_, Copy::Available) => {
                Reply::object(request, &self.bytes).header("x-amz-restore", RESTORED)
            }
            _ => Reply::error(403, "InvalidObjectState"),
        }
    }

    fn start(self) -> (Server, Vec<u8>) {
        let bytes = self.bytes.clone();
        (Server::start(move |_, request| self.answer(request)), bytes)
    }
}

fn methods(server: &Server) -> Vec<String> {
    server
        .requests()
        .into_iter()
        .map(|request| request.method)
        .collect()
}

fn recall(server: &Server, list: &str, bytes: &[u8], sink: &mut Memory) -> Result<(), StoreError> {
    open(server, list).fetch("dir/file", &object_of(bytes), 0..bytes.len() as u64, sink)
}

#[test]
fn restore_is_requested_once_and_then_the_recall_succeeds() {
    let (server, bytes) = Glacier::new(Duration::from_millis(700)).start();
    let list = "restore=bulk,restore-days=3";
    let mut sink = Memory::default();
    let error = recall(&server, list, &bytes, &mut sink).unwrap_err();
    assert!(matches!(error, StoreError::Archived(_)), "{error:?}");
    assert!(
        error.to_string().contains("a restore (Bulk) was asked for"),
        "{error}"
    );
    assert_eq!(methods(&server), ["GET", "HEAD", "POST"]);
    let asked = server.requests().remove(2);
    assert!(
        asked.target.starts_with("/archive/dir/file?restore"),
        "{}",
        asked.target
    );
    let body = String::from_utf8(asked.body).unwrap();
    assert!(
        body.contains("<Days>3</Days>") && body.contains("<Tier>Bulk</Tier>"),
        "{body}"
    );

    let error = recall(&server, list, &bytes, &mut sink).unwrap_err();
    assert!(
        error.to_string().contains("a restore is in progress"),
        "{error}"
    );
    assert_eq!(methods(&server)[3..], ["GET", "HEAD"], "not asked again");
    assert!(sink.bytes.is_empty());

    std::thread::sleep(Duration::from_millis(800));
    recall(&server, list, &bytes, &mut sink).unwrap();
    assert!(sink.bytes == bytes);
    assert_eq!(methods(&server)[5..], ["GET"]);
}

#[test]
fn restore_needs_the_setting_that_the_error_names() {
    for (list, requests) in [
        ("", ["GET"].as_slice()),
        ("restore=never", &["GET"]),
        ("restore=never,restore-wait=1h", &["GET", "HEAD"]),
    ] {
        let (server, bytes) = Glacier::new(Duration::ZERO).start();
        let error = recall(&server, list, &bytes, &mut Memory::default()).unwrap_err();
        assert!(matches!(error, StoreError::Archived(_)), "{error:?}");
        assert!(error.to_string().contains("restore="), "{error}");
        assert_eq!(methods(&server), requests);
    }
}

#[test]
fn reader_waits_for_a_restore_if_configured() {
    let (server, bytes) = Glacier::new(Duration::from_millis(1500)).start();
    let mut sink = Memory::default();
    recall(
        &server,
        "restore=expedited,restore-wait=1m",
        &bytes,
        &mut sink,
    )
    .unwrap();
    assert!(sink.bytes == bytes);
    let methods = methods(&server);
    assert_eq!(
        methods.iter().filter(|method| *method == "POST").count(),
        1,
        "{methods:?}"
    );
    assert_eq!(methods.last().unwrap(), "GET");
}

#[test]
fn wait_ends_at_its_limit_or_on_cancellation() {
    let (server, bytes) = Glacier::new(Duration::from_secs(3600)).start();
    let started = Instant::now();
    let error = recall(
        &server,
        "restore=bulk,restore-wait=1500ms",
        &bytes,
        &mut Memory::default(),
    )
    .unwrap_err();
    assert!(matches!(error, StoreError::Archived(_)), "{error:?}");
    let mut cancelled = Memory {
        cancelled: true,
        ..Memory::default()
    };
    let error = recall(
        &server,
        "restore=bulk,restore-wait=1h",
        &bytes,
        &mut cancelled,
    )
    .unwrap_err();
    assert_eq!(error, StoreError::Cancelled);
    assert!(
        (1500..15_000).contains(&started.elapsed().as_millis()),
        "{:?}",
        started.elapsed()
    );
}

/// The class is irrelevant: Glacier Instant Retrieval can be read immediately, as can a copy of a Deep Archive object.
#[test]
fn storage_class_does_not_decide() {
    for class in ["GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"] {
        let glacier = Glacier {
            copy: Mutex::new(Copy::Available),
            class,
            ..Glacier::new(Duration::ZERO)
        };
        let (server, bytes) = glacier.start();
        let mut sink = Memory::default();
        recall(&server, "restore=bulk", &bytes, &mut sink).unwrap();
        assert!(sink.bytes == bytes);
        assert_eq!(methods(&server), ["GET"], "{class}");
    }
}

/// The copy was completed in the meantime, and another client was faster.
#[test]
fn restore_already_in_progress_is_no_failure() {
    let bytes = noise(1000);
    let copy = bytes.clone();
    let server = Server::start(move |n, request| match (request.method.as_str(), n) {
        ("GET", 0) => Reply::error(403, "InvalidObjectState"),
        ("POST", _) => Reply::error(409, "RestoreAlreadyInProgress"),
        ("HEAD", 0..=2) => Reply::object(request, &copy),
        ("HEAD", _) => {
            Reply::object(request, &copy).header("x-amz-restore", "ongoing-request=\"false\"")
        }
        _ => Reply::object(request, &copy),
    });
    let mut sink = Memory::default();
    recall(
        &server,
        "restore=standard,restore-wait=30s",
        &bytes,
        &mut sink,
    )
    .unwrap();
    assert!(sink.bytes == bytes);
    assert_eq!(methods(&server), ["GET", "HEAD", "POST", "HEAD", "GET"]);
}

#[test]
fn refused_restore_reports_the_reason() {
    let refusing = |status, code: &'static str| {
        let server = Server::start(move |_, request| match request.method.as_str() {
            "POST" => Reply::error(status, code),
            "HEAD" => Reply::object(request, b"x"),
            _ => Reply::error(403, "InvalidObjectState"),
        });
        recall(
            &server,
            "restore=expedited,retries=1",
            b"x",
            &mut Memory::default(),
        )
        .unwrap_err()
    };
    let error = refusing(403, "AccessDenied");
    assert!(
        matches!(error, StoreError::PermissionDenied(_)),
        "{error:?}"
    );
    assert!(error.to_string().contains("s3:RestoreObject"), "{error}");
    let error = refusing(503, "GlacierExpeditedRetrievalNotAvailable");
    assert!(matches!(error, StoreError::Archived(_)), "{error:?}");
    assert!(error.to_string().contains("another tier"), "{error}");
    let error = refusing(503, "SlowDown");
    assert!(matches!(error, StoreError::Throttled(_)), "{error:?}");
}

/// In Intelligent-Tiering a restore is permanent, and sending the number of days is an error.
#[test]
fn intelligent_tiering_restore_has_no_days() {
    let server = Server::start(|_, request| match request.method.as_str() {
        "POST" => Reply::new(202),
        "HEAD" => Reply::object(request, b"x").header("x-amz-archive-status", "ARCHIVE_ACCESS"),
        _ => Reply::error(403, "InvalidObjectState"),
    });
    recall(&server, "restore=standard", b"x", &mut Memory::default()).unwrap_err();
    let body = String::from_utf8(server.requests().remove(2).body).unwrap();
    assert!(
        body.contains("<Tier>Standard</Tier>") && !body.contains("Days"),
        "{body}"
    );
}

#[test]
fn a_restore_that_the_guard_forbids_is_not_asked_for() {
    let (server, bytes) = Glacier::new(Duration::ZERO).start();
    let mut sink = Memory {
        forbids_restores: true,
        ..Memory::default()
    };
    let error = recall(&server, "restore=bulk,restore-wait=1h", &bytes, &mut sink).unwrap_err();
    assert!(error.to_string().contains("guard-files"), "{error}");
    assert_eq!(methods(&server), ["GET", "HEAD"]);
    assert_eq!(sink.waits, (0, 0), "it does not wait for nothing");
}

#[test]
fn a_long_wait_is_told_at_its_beginning_and_its_end() {
    let (server, bytes) = Glacier::new(Duration::from_millis(300)).start();
    let mut sink = Memory::default();
    recall(&server, "restore=bulk,restore-wait=1h", &bytes, &mut sink).unwrap();
    assert!(sink.bytes == bytes);
    assert!(
        sink.waits.0 > 0 && sink.waits.0 == sink.waits.1,
        "{:?}",
        sink.waits
    );
}

/// As the archiver asks: with its own tier and days, at most once, and without waiting.
#[test]
fn a_restore_can_be_asked_for_without_a_read() {
    let (server, _) = Glacier::new(Duration::from_millis(300)).start();
    let store = open(&server, "restore-days=5");
    let restores = store.restores().unwrap();
    let restore = |wanted| restores.restore("dir/file", wanted).unwrap();
    assert_eq!(restore(None), Restored::Archived);
    let wanted = Wanted {
        days: None,
        speed: Some(Speed::Bulk),
    };
    assert_eq!(restore(Some(&wanted)), Restored::Archived);
    assert_eq!(restore(Some(&wanted)), Restored::UnderWay);
    while restore(None) == Restored::UnderWay {}
    assert_eq!(restore(Some(&wanted)), Restored::Back);
    let posts = server.requests().into_iter();
    let posts: Vec<_> = posts.filter(|request| request.method == "POST").collect();
    let [post] = &posts[..] else {
        panic!("{posts:?}");
    };
    let body = String::from_utf8_lossy(&post.body);
    assert!(
        body.contains("<Days>5</Days>") && body.contains("<Tier>Bulk</Tier>"),
        "{body}"
    );
}
