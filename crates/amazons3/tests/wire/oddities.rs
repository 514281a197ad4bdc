// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What servers and proxies do that Amazon does not: each ends in the right bytes, or in an error that says what to do.

use std::time::Duration;

use cloudsync_store::{Archive, Store, StoreError};
use cloudsync_store_conformance::Bytes;

use crate::put::existing;
use crate::server::{Reply, Request, Server};
use crate::{Memory, fetch, noise, object_of, open};

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

/// The answer to a GET of `bytes` in pieces, without a length; `more` are further headers.
fn chunked(status: u16, more: &str, bytes: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 {status} S\r\nconnection: close\r\netag: \"one\"\r\n{more}");
    let mut raw = (head + "transfer-encoding: chunked\r\n\r\n").into_bytes();
    for piece in bytes.chunks(1000) {
        raw.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        raw.extend_from_slice(piece);
        raw.extend_from_slice(b"\r\n");
    }
    raw.extend_from_slice(b"0\r\n\r\n");
    Reply::raw(&raw)
}

#[test]
fn an_answer_in_chunks_is_the_object_or_an_error() {
    const RANGE: &str = "content-range: bytes 0-4999/5000\r\n";
    let bytes = noise(5000);
    let copy = bytes.clone();
    let (_, sink, result) = fetch(&bytes, "", move |_, _| chunked(206, RANGE, &copy));
    assert_eq!(result, Ok(()));
    assert!(sink.bytes == bytes);
    // Nothing says how much it should be.
    let copy = bytes.clone();
    let (_, sink, result) = fetch(&bytes, "", move |_, _| chunked(200, "", &copy));
    let error = result.unwrap_err().to_string();
    assert!(
        error.contains("without a length") && sink.bytes.is_empty(),
        "{error}"
    );
    // It ends too early, every time.
    let (_, sink, result) = fetch(&bytes, "retries=1", move |_, _| {
        chunked(206, RANGE, &noise(700))
    });
    assert!(result.is_err() && sink.bytes.len() <= 700, "{result:?}");
}

#[test]
fn a_compressed_answer_never_reaches_the_file() {
    let bytes = noise(5000);
    let more = "content-encoding: gzip\r\ncontent-range: bytes 0-4999/5000\r\n";
    let (server, sink, result) = fetch(&bytes, "", move |_, _| chunked(206, more, &noise(900)));
    let error = result.unwrap_err().to_string();
    assert!(error.contains("compressed on its way (gzip)"), "{error}");
    assert!(sink.bytes.is_empty());
    let asked = &server.requests()[0];
    assert_eq!(asked.header("accept-encoding"), Some("identity"));
    let signed = asked.header("authorization").unwrap();
    assert!(!signed.contains("accept-encoding"), "{signed}");
    // An object whose bytes are compressed is read as it is.
    let copy = bytes.clone();
    let (_, sink, result) = fetch(&bytes, "", move |_, request| {
        Reply::object(request, &copy).header("content-encoding", "gzip")
    });
    assert!(result.is_ok() && sink.bytes == bytes, "{result:?}");
}

#[test]
fn etags_may_be_written_in_several_ways() {
    let bytes = noise(500);
    for (described, answered) in [
        ("one", "\"one\""),
        ("\"one\"", "one"),
        ("W/\"one\"", "\"one\""),
        ("\"one\"", "W/\"one\""),
        ("\"one-2\"", "\"one-2\""),
    ] {
        let copy = bytes.clone();
        let server = Server::start(move |_, request| {
            let etag = if request.method == "HEAD" {
                described
            } else {
                answered
            };
            Reply::object(request, &copy).header("etag", etag)
        });
        let store = open(&server, "");
        let object = store.head("key").unwrap();
        let mut sink = Memory::default();
        store.fetch("key", &object, 0..500, &mut sink).unwrap();
        assert!(sink.bytes == bytes, "{described} {answered}");
        let condition = server.requests()[1].header("if-match").map(str::to_owned);
        assert!(condition.is_some_and(|etag| !etag.starts_with("W/")));
    }
    // Without one, size and checksum tell the version.
    let server = Server::start(|_, request| {
        let answer = b"HTTP/1.1 200 S\r\nconnection: close\r\ncontent-length: 5\r\n\r\n";
        let body: &[u8] = if request.method == "HEAD" {
            b""
        } else {
            b"bytes"
        };
        Reply::raw(&[answer, body].concat())
    });
    let store = open(&server, "");
    let object = store.head("key").unwrap();
    assert_eq!((object.etag.clone(), object.size), (None, 5));
    let mut sink = Memory::default();
    store.fetch("key", &object, 0..5, &mut sink).unwrap();
    assert_eq!(sink.bytes, b"bytes");
}

#[test]
fn a_description_without_a_size_is_an_error() {
    let server = Server::start(|_, _| chunked(200, "", b""));
    let error = open(&server, "").head("key").unwrap_err().to_string();
    assert!(
        error.contains("did not return the object's size"),
        "{error}"
    );
}

#[test]
fn a_redirect_to_another_region_names_the_region() {
    for status in [301, 307, 400] {
        let code = if status == 400 {
            "AuthorizationHeaderMalformed"
        } else {
            "PermanentRedirect"
        };
        let answer = move |_: usize, request: &Request| {
            let reply = match request.method.as_str() {
                "HEAD" => Reply::new(status),
                _ => Reply::error(status, code),
            };
            reply
                .header("x-amz-bucket-region", "eu-west-9")
                .header("location", "http://127.0.0.1:1/elsewhere")
        };
        let server = Server::start(answer);
        let store = open(&server, "retries=0,region=us-east-1");
        let mut sink = Memory::default();
        let get = store
            .fetch("key", &object_of(b"bytes"), 0..5, &mut sink)
            .unwrap_err();
        let put = store
            .put("key", &Bytes::new(vec![1; 10]).upload())
            .unwrap_err();
        for error in [store.head("key").unwrap_err(), get, put] {
            assert!(
                matches!(error, StoreError::Settings(_)),
                "{status}: {error}"
            );
            assert!(
                error.to_string().contains("set region=eu-west-9"),
                "{status}: {error}"
            );
        }
        assert!(sink.bytes.is_empty());
    }
}

#[test]
fn a_wrong_clock_is_named_and_not_asked_again() {
    let server = Server::start(|_, request| match request.method.as_str() {
        "HEAD" => Reply::new(403),
        _ => Reply::error(403, "RequestTimeTooSkewed"),
    });
    let store = open(&server, "");
    for error in [
        store.head("key").unwrap_err(),
        store
            .put("key", &Bytes::new(vec![1; 10]).upload())
            .unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::BadCredentials(_)), "{error}");
        assert!(
            error.to_string().contains("check the clock of this host"),
            "{error}"
        );
    }
    assert_eq!(server.summary(), ["HEAD", "GET bytes=0-0", "PUT"]);
}

/// A store does not tell a key without the right to list whether an object exists.
#[test]
fn a_missing_object_that_may_not_be_listed_is_told_of() {
    let server = Server::start(|_, request| match request.method.as_str() {
        "HEAD" => Reply::new(403),
        _ => Reply::error(403, "AccessDenied"),
    });
    let error = open(&server, "").head("key").unwrap_err();
    assert!(matches!(error, StoreError::PermissionDenied(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("a missing object also gives this error"),
        "{error}"
    );
}
