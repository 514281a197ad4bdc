// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The requests that are sent without the SDK's orchestrator: the first shows the way, and the SDK explains what is not bytes.
//! That a real store accepts their signatures is what every test on a volume shows.

use cloudsync_store::{Archive, Store, StoreError};

use crate::server::{Reply, Request, Server};
use crate::{Memory, noise, object_of, open};

/// Whether the SDK has made this request: it says who it is.
fn is_of_the_sdk(request: &Request) -> bool {
    request
        .header("user-agent")
        .is_some_and(|agent| agent.starts_with("aws-sdk-rust"))
}

#[test]
fn only_the_first_request_is_the_sdk_s() {
    let bytes = noise(5000);
    let served = bytes.clone();
    let server = Server::start(move |_, request| Reply::object(request, &served));
    let store = open(&server, "requester-pays=on");
    for key in ["one", "dir/two", "three"] {
        let mut sink = Memory::default();
        store
            .fetch(key, &object_of(&bytes), 100..5000, &mut sink)
            .unwrap();
        assert_eq!(sink.bytes, bytes[100..], "{key}");
    }
    let (object, metadata) = store.describe("four").unwrap();
    assert_eq!(object.size, 5000);
    assert!(metadata.is_empty(), "{metadata:?}");
    let requests = server.requests();
    let sdk: Vec<_> = requests.iter().map(is_of_the_sdk).collect();
    assert_eq!(sdk, [true, false, false, false]);
    for (request, key) in requests.iter().zip(["one", "dir/two", "three", "four"]) {
        let path = request.target.split('?').next();
        assert_eq!(path, Some(format!("/archive/{key}").as_str()));
        let signed = request.header("authorization").unwrap();
        assert!(signed.contains("/us-east-1/s3/aws4_request"), "{signed}");
        assert_eq!(request.header("x-amz-request-payer"), Some("requester"));
        assert_eq!(request.header("accept-encoding"), Some("identity"));
        if key != "four" {
            assert_eq!(request.header("range"), Some("bytes=100-4999"));
            assert_eq!(request.header("if-match"), Some("\"one\""));
        }
    }
}

/// A key that a URL would have encoded, and whatever is refused.
#[test]
fn the_sdk_has_the_last_word() {
    let bytes = noise(500);
    let served = bytes.clone();
    let server = Server::start(move |_, request| {
        if request.target.contains("gone") {
            return Reply::error(404, "NoSuchKey");
        }
        Reply::object(request, &served)
    });
    let store = open(&server, "retries=0");
    let fetch = |key: &str| {
        let mut sink = Memory::default();
        let fetched = store.fetch(key, &object_of(&bytes), 0..500, &mut sink);
        fetched.map(|()| assert_eq!(sink.bytes, bytes))
    };
    fetch("one").unwrap();
    fetch("a b+\u{e4}").unwrap();
    assert!(matches!(fetch("gone"), Err(StoreError::Missing(_))));
    assert!(matches!(store.head("gone"), Err(StoreError::Missing(_))));
    let sdk: Vec<_> = server.requests().iter().map(is_of_the_sdk).collect();
    // The object that is gone: asked for directly and then by the SDK; its HEAD directly, and then the reason.
    assert_eq!(sdk, [true, true, false, true, false, true]);
}

/// A busy store is not asked twice for that.
#[test]
fn a_busy_store_is_believed() {
    let bytes = noise(500);
    let served = bytes.clone();
    let server = Server::start(move |before, request| match before {
        1 => Reply::error(503, "SlowDown"),
        _ => Reply::object(request, &served),
    });
    let store = open(&server, "retries=2");
    for _ in 0..2 {
        let mut sink = Memory::default();
        store
            .fetch("one", &object_of(&bytes), 0..500, &mut sink)
            .unwrap();
        assert_eq!(sink.bytes, bytes);
    }
    let sdk: Vec<_> = server.requests().iter().map(is_of_the_sdk).collect();
    assert_eq!(sdk, [true, false, false]);
}

/// The SDK learns from the store's clock how wrong ours is. We do not, and notice that it knows more.
#[test]
fn a_wrong_clock_is_left_to_the_sdk() {
    const NOW: &str = "Fri, 21 Dec 2040 00:00:00 GMT";
    let bytes = noise(500);
    let served = bytes.clone();
    let server = Server::start(move |_, request| {
        let date = request.header("x-amz-date").unwrap_or_default();
        let reply = match (date.starts_with("204012"), request.method.as_str()) {
            (true, _) => Reply::object(request, &served),
            (false, "HEAD") => Reply::new(403),
            (false, _) => Reply::error(403, "RequestTimeTooSkewed"),
        };
        reply.header("date", NOW)
    });
    let store = open(&server, "retries=4");
    let fetch = || {
        let mut sink = Memory::default();
        let fetched = store.fetch("one", &object_of(&bytes), 0..500, &mut sink);
        fetched.map(|()| assert_eq!(sink.bytes, bytes))
    };
    // It learns that from an answer.
    let _first = fetch();
    for _ in 0..2 {
        fetch().unwrap();
        assert_eq!(store.head("one").unwrap().size, 500);
    }
    let before = server.requests().len();
    fetch().unwrap();
    assert_eq!(store.head("one").unwrap().size, 500);
    let sdk: Vec<_> = server.requests()[before..]
        .iter()
        .map(is_of_the_sdk)
        .collect();
    assert_eq!(sdk, [true, true]);
}
