// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What servers and proxies do that Amazon does not: each ends in the right bytes, or in an error that says what to do.

use std::time::Duration;

use cloudsync_store::{Archive, StoreError};
use cloudsync_store_conformance::Bytes;

use crate::open;
use crate::put::existing;
use crate::server::{Reply, Server};

#[test]
fn a_store_without_conditional_writes_is_asked_first() {
    let server = Server::start(|_, request| match request.method.as_str() {
        "PUT" => Reply::new(200).header("etag", "\"one\""),
        _ => Reply::error(404, "NoSuchKey"),
    });
    let store = open(&server, "conditional-writes=off");
    store.put("key", &Bytes::new(vec![1; 10]).upload()).unwrap();
    let requests = server.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.header("if-none-match").is_none())
    );
    assert_eq!(server.summary().last().unwrap(), "PUT");
    assert_eq!(server.summary()[0], "HEAD");
    // One that it would overwrite.
    let server = Server::start(|_, request| match request.method.as_str() {
        "PUT" => Reply::new(200).header("etag", "\"one\""),
        _ => existing(b"bytes"),
    });
    let store = open(&server, "conditional-writes=off");
    let refused = store.put("key", &Bytes::new(vec![1; 10]).upload());
    assert!(matches!(refused, Err(StoreError::Exists(_))), "{refused:?}");
    assert_eq!(server.summary(), ["HEAD"]);
}

#[test]
fn what_a_store_cannot_do_is_not_asked_again() {
    let server = Server::start(|_, request| match request.method.as_str() {
        "HEAD" => Reply::new(404),
        "GET" if !request.target.contains("uploads") => Reply::error(404, "NoSuchKey"),
        _ => Reply::error(501, "NotImplemented"),
    });
    let store = open(&server, "");
    let error = store
        .put("key", &Bytes::new(vec![1; 10]).upload())
        .unwrap_err();
    assert!(
        error.to_string().contains("the store cannot do this"),
        "{error}"
    );
    // With the condition, and without it.
    let puts = server
        .summary()
        .iter()
        .filter(|method| *method == "PUT")
        .count();
    assert_eq!(puts, 2, "{:?}", server.summary());
    // Nobody knows of uploads that cannot be listed.
    assert_eq!(store.unfinished("", Duration::ZERO, true), Ok(Vec::new()));
}
