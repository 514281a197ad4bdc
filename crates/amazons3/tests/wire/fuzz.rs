// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Mutated answers of a store, through the whole client: it terminates without a panic, and success means that the
//! requested number of bytes was delivered.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use amazons3::S3;
use cloudsync_store::Store;

use crate::server::{Reply, Server};
use crate::{Memory, SECRET, object_of, open, options};

const OBJECT: &[u8] = b"0123456789";

/// Time limits for answers that stall.
const LIST: &str = "retries=0,read-timeout=300ms,stall-timeout=300ms";
const LONGEST: Duration = Duration::from_secs(5);

const CORPUS: &[&str] = &[
    "HTTP/1.1 206 Some\r\ncontent-range: bytes 0-9/10\r\ncontent-length: 10\r\netag: \"one\"\r\n\r\n0123456789",
    "HTTP/1.1 206 Some\r\ncontent-range: bytes 0-9/*\r\nconnection: close\r\n\r\n0123456789",
    "HTTP/1.1 206 Some\r\ncontent-range: bytes 0-9/10\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
    "HTTP/1.1 200 Fine\r\ncontent-length: 10\r\netag: \"one\"\r\n\r\n0123456789",
    "HTTP/1.1 200 Fine\r\ncontent-length: 10\r\nx-amz-checksum-crc32: y/Q5Jg==\r\nx-amz-checksum-type: FULL_OBJECT\r\n\r\n",
    "HTTP/1.1 200 Fine\r\ncontent-length: 10\r\nx-amz-meta-cloudsync-checksum: crc32:y/Q5Jg==\r\nlast-modified: Sun, 22 Nov 2026 18:00:00 GMT\r\n\r\n",
    "HTTP/1.1 200 Fine\r\ncontent-length: 10\r\ncontent-encoding: gzip\r\nx-amz-missing-meta: 1\r\n\r\n0123456789",
    "HTTP/1.1 403 No\r\ncontent-length: 54\r\n\r\n<Error><Code>ExpiredToken</Code><Message>m</Message></Error>",
    "HTTP/1.1 503 No\r\nconnection: close\r\n\r\n<?xml version=\"1.0\"?><Error><Code>SlowDown</Code></Error>",
    "HTTP/1.1 404 No\r\nconnection: close\r\n\r\n<Error><Code>NoSuchKey</Code><Message><![CDATA[&lt;]]></Message></Error>",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 206 Some\r\ncontent-range: bytes 0-9/10\r\ncontent-length: 10\r\n\r\n0123456789",
    "HTTP/1.1 307 There\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 304 Same\r\netag: \"one\"\r\n\r\n",
    "",
];

#[test]
fn mutated_answers_never_corrupt_a_fetch() {
    let now = Arc::new(Mutex::new(String::new()));
    let answer = Arc::clone(&now);
    let server = Server::start(move |_, _| Reply::raw(answer.lock().unwrap().as_bytes()));
    let store = open(&server, LIST);
    cloudsync_fuzz::fuzz_slow(500, CORPUS, |text| {
        text.clone_into(&mut now.lock().unwrap());
        let started = Instant::now();
        let head = store.head("key").map(drop);
        let mut sink = Memory::default();
        let fetched = store.fetch("key", &object_of(OBJECT), 0..10, &mut sink);
        assert!(sink.bytes.len() <= OBJECT.len(), "{text:?}");
        if fetched.is_ok() {
            assert_eq!(sink.bytes.len(), OBJECT.len(), "{text:?}");
        }
        for error in head.err().into_iter().chain(fetched.err()) {
            assert!(!error.to_string().contains(SECRET), "{text:?}: {error}");
        }
        let took = started.elapsed();
        assert!(took < LONGEST, "{text:?}: {took:?}");
    });
}

/// The longest times that the settings allow: the SDK panics on overflow.
#[test]
fn longest_times_do_not_overflow() {
    let server = Server::start(|_, request| Reply::object(request, OBJECT));
    let list = "connect-timeout=1d,read-timeout=1d,stall-timeout=1d";
    let store = open(&server, list);
    let object = store.head("key").unwrap();
    let mut sink = Memory::default();
    store.fetch("key", &object, 0..10, &mut sink).unwrap();
    assert_eq!(sink.bytes, OBJECT);
    let longer = options(&server.address, "read-timeout=25h");
    let refusal = S3::open(&longer).map(drop).unwrap_err().to_string();
    assert!(
        refusal.contains("read-timeout: must be at most 1d"),
        "{refusal}"
    );
}
