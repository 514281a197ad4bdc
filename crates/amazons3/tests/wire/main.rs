// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The plugin against a server that emulates the faults of real stores.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

mod checksum;
mod credentials;
mod delete;
mod direct;
mod fuzz;
mod headers;
mod list;
mod oddities;
mod put;
mod restore;
mod server;

use std::process::Command;
use std::time::{Duration, Instant};

use amazons3::S3;
use cloudsync_store::{Object, Options, Sink, Store, StoreError};
use server::{End, Reply, Request, Server};

const SECRET: &str = "verySecretKey";

fn options(address: &str, list: &str) -> Options {
    let host = format!("http://{address}");
    [
        ("s3plugin-hostname", host.as_str()),
        ("s3plugin-bucketid", "archive"),
        ("s3plugin-keyid", "AKIDEXAMPLE"),
        ("s3plugin-seckey", SECRET),
        ("cloudsync-store-id", list),
    ]
    .into_iter()
    .collect()
}

fn open(server: &Server, list: &str) -> S3 {
    S3::open(&options(&server.address, list)).unwrap()
}

/// A sink in memory.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    refuses: bool,
    cancelled: bool,
    throttled: usize,
    forbids_restores: bool,
    /// Of long waits: how many began and ended.
    waits: (usize, usize),
}

impl Sink for Memory {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if self.refuses {
            return Err(StoreError::Sink(28));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn cancelled(&self) -> bool {
        self.cancelled
    }

    fn throttled(&mut self) {
        self.throttled += 1;
    }

    fn may_restore(&mut self) -> bool {
        !self.forbids_restores
    }

    fn waits(&mut self, begins: bool) -> bool {
        self.waits.0 += usize::from(begins);
        self.waits.1 += usize::from(!begins);
        true
    }
}

/// Bytes without repetition, so that a misplaced piece is noticed.
fn noise(size: usize) -> Vec<u8> {
    (0..size as u64)
        .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

fn object_of(bytes: &[u8]) -> Object {
    Object {
        size: bytes.len() as u64,
        etag: Some("\"one\"".to_owned()),
        checksum: None,
    }
}

/// Fetches the whole object, which is `bytes`, from a server with these answers.
fn fetch(
    bytes: &[u8],
    list: &str,
    answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static,
) -> (Server, Memory, Result<(), StoreError>) {
    let server = Server::start(answer);
    let mut sink = Memory::default();
    let size = bytes.len() as u64;
    let result = open(&server, list).fetch("key", &object_of(bytes), 0..size, &mut sink);
    if let Err(error) = &result {
        assert!(!error.to_string().contains(SECRET));
    }
    (server, sink, result)
}

fn head_error(answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> StoreError {
    let server = Server::start(answer);
    let error = open(&server, "retries=1").head("key").unwrap_err();
    assert!(!error.to_string().contains(SECRET));
    error
}

#[test]
fn object_is_fetched() {
    let bytes = noise(3_000_000);
    let copy = bytes.clone();
    let server = Server::start(move |_, request| Reply::object(request, &copy));
    let store = open(&server, "region=eu-west-7");
    let object = store.head("dir/file").unwrap();
    assert_eq!(object, object_of(&bytes));
    let mut sink = Memory::default();
    store
        .fetch("dir/file", &object, 0..3_000_000, &mut sink)
        .unwrap();
    assert!(sink.bytes == bytes);
    let requests = server.requests();
    assert_eq!(server.summary(), ["HEAD", "GET bytes=0-2999999"]);
    assert_eq!(requests[0].header("x-amz-checksum-mode"), Some("ENABLED"));
    assert_eq!(requests[1].header("if-match"), Some("\"one\""));
    assert!(requests[1].target.starts_with("/archive/dir/file"));
    let signature = requests[1].header("authorization").unwrap();
    assert!(
        signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"),
        "{signature}"
    );
    assert!(
        signature.contains("/eu-west-7/s3/aws4_request"),
        "{signature}"
    );
}

#[test]
fn only_the_requested_range_is_fetched() {
    let bytes = noise(1000);
    let copy = bytes.clone();
    let server = Server::start(move |_, request| Reply::object(request, &copy));
    let store = open(&server, "");
    let mut sink = Memory::default();
    store
        .fetch("key", &object_of(&bytes), 100..200, &mut sink)
        .unwrap();
    assert!(sink.bytes == bytes[100..200]);
    store
        .fetch("key", &object_of(&bytes), 200..200, &mut sink)
        .unwrap();
    assert_eq!(server.summary(), ["GET bytes=100-199"]);
}

#[test]
fn keys_are_encoded_exactly() {
    let server = Server::start(|_, request| Reply::object(request, b"x"));
    let store = open(&server, "");
    let long = "d/".repeat(350) + "f";
    let keys = [
        "plain",
        "with space",
        "100%",
        "%41",
        "a+b",
        "what?",
        "a#b&c=d",
        "a//b",
        "./a/../b",
        "\u{e4}\u{20ac}\u{1f600}",
        "'quoted' \"twice\"",
        "a\\b",
        &long,
    ];
    for (n, key) in keys.into_iter().enumerate() {
        store
            .head(key)
            .unwrap_or_else(|error| panic!("{key}: {error}"));
        let target = server.requests()[n].target.clone();
        let path = target.split('?').next().unwrap();
        assert_eq!(
            decode(path.strip_prefix("/archive/").unwrap()),
            key,
            "{target}"
        );
    }
    let targets: Vec<_> = server
        .requests()
        .into_iter()
        .map(|request| request.target)
        .collect();
    for (n, path) in [
        (1, "with%20space"),
        (2, "100%25"),
        (3, "%2541"),
        (4, "a%2Bb"),
        (5, "what%3F"),
    ] {
        assert_eq!(
            targets[n].split('?').next().unwrap(),
            format!("/archive/{path}")
        );
    }
}

fn decode(path: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), path.as_bytes().iter());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [*rest.next().unwrap(), *rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            byte => *byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn store_ignoring_ranges_still_delivers_the_bytes() {
    let bytes = noise(500_000);
    let copy = bytes.clone();
    let (server, sink, result) = fetch(&bytes, "", move |n, _| {
        let whole = Reply::new(200).header("etag", "\"one\"").body(&copy);
        if n == 0 {
            whole.truncate_body(123_456, End::Close)
        } else {
            whole
        }
    });
    assert_eq!(result, Ok(()));
    assert!(sink.bytes == bytes);
    assert_eq!(
        server.summary(),
        ["GET bytes=0-499999", "GET bytes=123456-499999"]
    );
}

#[test]
fn interrupted_body_is_resumed() {
    for end in [End::Close, End::Reset] {
        let bytes = noise(2_000_000);
        let copy = bytes.clone();
        let (server, sink, result) = fetch(&bytes, "", move |n, request| {
            let reply = Reply::object(request, &copy);
            if n < 3 {
                reply.truncate_body(500_000, end)
            } else {
                reply
            }
        });
        assert_eq!(result, Ok(()), "{end:?}");
        assert!(sink.bytes == bytes, "{end:?}");
        assert_eq!(server.requests().len(), 4);
        assert!(
            server
                .requests()
                .iter()
                .all(|request| request.header("if-match").is_some())
        );
    }
}

#[test]
fn busy_store_is_retried() {
    let bytes = noise(1000);
    let copy = bytes.clone();
    let (server, sink, result) = fetch(&bytes, "", move |n, request| match n {
        0 => Reply::error(503, "SlowDown"),
        1 => Reply::error(500, "InternalError"),
        _ => Reply::object(request, &copy),
    });
    assert_eq!(result, Ok(()));
    assert!(sink.bytes == bytes);
    assert_eq!(server.requests().len(), 3);
    assert_eq!(sink.throttled, 1, "it is told of SlowDown, and not of 500");
    let server = Server::start(|n, request| match n {
        0 => Reply::new(503),
        _ => Reply::object(request, b"x"),
    });
    assert_eq!(open(&server, "").head("key").unwrap().size, 1);
}

#[test]
fn retries_are_limited() {
    let (server, sink, result) = fetch(b"x", "retries=2", |_, _| Reply::error(503, "SlowDown"));
    assert!(
        matches!(result, Err(StoreError::Throttled(_))),
        "{result:?}"
    );
    assert_eq!((server.requests().len(), sink.bytes.len()), (3, 0));
    let (server, _, result) = fetch(b"x", "retries=2", |_, _| Reply::error(500, "InternalError"));
    assert!(
        matches!(result, Err(StoreError::Unreachable(_))),
        "{result:?}"
    );
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn trickling_store_times_out() {
    let bytes = noise(1000);
    let copy = bytes.clone();
    let (server, _, result) = fetch(&bytes, "retries=3", move |_, request| {
        Reply::object(request, &copy).truncate_body(1, End::Close)
    });
    assert!(
        matches!(result, Err(StoreError::Unreachable(_))),
        "{result:?}"
    );
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn stalled_body_is_resumed() {
    let bytes = noise(600_000);
    let copy = bytes.clone();
    let (server, sink, result) = fetch(&bytes, "stall-timeout=300ms", move |n, request| {
        let reply = Reply::object(request, &copy);
        if n == 0 {
            reply.truncate_body(400_000, End::Stall)
        } else {
            reply
        }
    });
    assert_eq!(result, Ok(()));
    assert!(sink.bytes == bytes);
    assert_eq!(
        server.summary(),
        ["GET bytes=0-599999", "GET bytes=400000-599999"]
    );
}

/// The SDK reads an error's text before it reports the error.
#[test]
fn error_that_stalls_is_retried() {
    let settings = "stall-timeout=50ms,read-timeout=300ms";
    let (server, sink, result) = fetch(b"bytes", settings, |n, request| match n {
        0 => Reply::error(503, "SlowDown").truncate_body(20, End::Stall),
        _ => Reply::object(request, b"bytes"),
    });
    assert_eq!(
        (result, sink.bytes.as_slice()),
        (Ok(()), b"bytes".as_slice())
    );
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn unresponsive_store_is_retried() {
    let (server, sink, result) = fetch(b"bytes", "read-timeout=300ms", |n, request| match n {
        0 => Reply::silence(),
        _ => Reply::object(request, b"bytes"),
    });
    assert_eq!(result, Ok(()));
    assert_eq!(
        (server.requests().len(), sink.bytes.as_slice()),
        (2, b"bytes".as_slice())
    );
    let error = head_error_with("read-timeout=300ms,retries=1", |_, _| Reply::silence());
    assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
}

fn head_error_with(
    list: &str,
    answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static,
) -> StoreError {
    open(&Server::start(answer), list).head("key").unwrap_err()
}

#[test]
fn unreachable_store_is_named() {
    let store = S3::open(&options("127.0.0.1:1", "retries=1")).unwrap();
    let error = store.head("key").unwrap_err();
    assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("bucket archive at http://127.0.0.1:1"),
        "{error}"
    );
}

/// The provider chain reads the environment, which a test cannot change without affecting others, so the body runs in a
/// separate process.
#[test]
fn missing_credentials_are_reported_without_retries() {
    const NAME: &str = "missing_credentials_are_reported_without_retries";
    if std::env::var_os("AWS_EC2_METADATA_DISABLED").is_none() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME])
            .env_clear()
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .output()
            .unwrap();
        assert!(
            child.status.success(),
            "{}",
            String::from_utf8_lossy(&child.stdout)
        );
        return;
    }
    let server = Server::start(|_, request| Reply::object(request, b"x"));
    let host = format!("http://{}", server.address);
    let options: Options = [
        ("s3plugin-hostname", host.as_str()),
        ("s3plugin-bucketid", "b"),
    ]
    .into_iter()
    .collect();
    let error = S3::open(&options).unwrap().head("key").unwrap_err();
    assert!(matches!(error, StoreError::BadCredentials(_)), "{error}");
    assert!(error.to_string().contains("set s3plugin-keyid"), "{error}");
    assert!(server.requests().is_empty());
}

/// The answer to HEAD has no body; the reason is in the answer to GET.
fn refusal(status: u16, code: &'static str) -> StoreError {
    head_error(move |_, request| match request.method.as_str() {
        "HEAD" => Reply::new(status).header("content-length", 300),
        _ => Reply::error(status, code),
    })
}

#[test]
fn missing_object_differs_from_missing_bucket() {
    assert!(matches!(refusal(404, "NoSuchKey"), StoreError::Missing(_)));
    let error = refusal(404, "NoSuchBucket");
    assert!(matches!(error, StoreError::Settings(_)), "{error}");
    assert!(error.to_string().contains("s3plugin-bucketid"), "{error}");
}

#[test]
fn refusals_are_distinguished() {
    assert!(matches!(
        refusal(403, "AccessDenied"),
        StoreError::PermissionDenied(_)
    ));
    for code in [
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "RequestTimeTooSkewed",
    ] {
        let error = refusal(403, code);
        assert!(matches!(error, StoreError::BadCredentials(_)), "{error}");
        assert!(error.to_string().contains("says the test"), "{error}");
    }
    assert!(matches!(
        refusal(400, "ExpiredToken"),
        StoreError::BadCredentials(_)
    ));
    let error = refusal(400, "AuthorizationHeaderMalformed");
    assert!(error.to_string().contains("region="), "{error}");
    // A store that gives no reason.
    let error = head_error(|_, _| Reply::new(403));
    assert!(matches!(error, StoreError::PermissionDenied(_)), "{error}");
}

#[test]
fn archived_object_is_reported_as_such() {
    let (server, sink, result) = fetch(b"x", "", |_, _| Reply::error(403, "InvalidObjectState"));
    assert!(matches!(result, Err(StoreError::Archived(_))), "{result:?}");
    assert_eq!((server.requests().len(), sink.bytes.len()), (1, 0));
}

#[test]
fn versions_are_never_mixed() {
    let bytes = noise(600_000);
    let copy = bytes.clone();
    let (_, _, result) = fetch(&bytes, "", move |n, request| match n {
        0 => Reply::object(request, &copy).truncate_body(300_000, End::Close),
        _ => Reply::error(412, "PreconditionFailed"),
    });
    assert!(matches!(result, Err(StoreError::Changed(_))), "{result:?}");
    // A store that does not support If-Match.
    let copy = bytes.clone();
    let (server, sink, result) = fetch(&bytes, "", move |_, request| {
        Reply::object(request, &copy).header("etag", "\"two\"")
    });
    assert!(matches!(result, Err(StoreError::Changed(_))), "{result:?}");
    assert_eq!((server.requests().len(), sink.bytes.len()), (1, 0));
}

#[test]
fn mismatched_answers_are_refused() {
    let bytes = noise(1000);
    let wrong: [fn(&[u8]) -> Reply; 5] = [
        |bytes| {
            Reply::new(206)
                .header("content-range", "bytes 0-998/1000")
                .body(&bytes[..999])
        },
        |bytes| {
            Reply::new(206)
                .header("content-range", "bytes 1-1000/1001")
                .body(bytes)
        },
        |bytes| {
            Reply::new(206)
                .header("content-range", "bytes 0-999/2000")
                .body(bytes)
        },
        |bytes| Reply::new(200).body(&bytes[..999]),
        |_| Reply::error(200, "InternalError"),
    ];
    for reply in wrong {
        let copy = bytes.clone();
        let (_, sink, result) = fetch(&bytes, "retries=0", move |_, _| reply(&copy));
        assert!(matches!(result, Err(StoreError::Other(_))), "{result:?}");
        assert!(sink.bytes.is_empty());
    }
}

#[test]
fn error_body_never_reaches_the_file() {
    for (status, code) in [
        (403, "AccessDenied"),
        (404, "NoSuchKey"),
        (400, "Strange"),
        (301, "PermanentRedirect"),
    ] {
        let (_, sink, result) = fetch(&noise(1000), "retries=0", move |_, _| {
            Reply::error(status, code)
        });
        assert!(result.is_err() && sink.bytes.is_empty(), "{code}");
    }
}

#[test]
fn store_checksums_are_used() {
    for (name, value, text) in [
        (
            "x-amz-checksum-crc64nvme",
            "rosUhgp5mIg=",
            "crc64nvme:rosUhgp5mIg=",
        ),
        (
            "x-amz-meta-cloudsync-checksum",
            "crc32c:4waSgw==",
            "crc32c:4waSgw==",
        ),
    ] {
        let server = Server::start(move |_, request| {
            let reply = Reply::object(request, b"123456789").header(name, value);
            reply.header("x-amz-checksum-type", "FULL_OBJECT")
        });
        let checksum = open(&server, "").head("key").unwrap().checksum.unwrap();
        assert_eq!(checksum.to_string(), text);
    }
}

#[test]
fn sink_error_ends_the_fetch() {
    let server = Server::start(|_, request| Reply::object(request, b"bytes"));
    let mut sink = Memory {
        refuses: true,
        ..Memory::default()
    };
    let result = open(&server, "").fetch("key", &object_of(b"bytes"), 0..5, &mut sink);
    assert_eq!(result, Err(StoreError::Sink(28)));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn cancelled_recall_does_not_wait_for_the_store() {
    let server = Server::start(|_, _| Reply::silence());
    let mut sink = Memory {
        cancelled: true,
        ..Memory::default()
    };
    let started = Instant::now();
    let result = open(&server, "").fetch("key", &object_of(b"bytes"), 0..5, &mut sink);
    assert_eq!(result, Err(StoreError::Cancelled));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn prefix_precedes_the_key() {
    let server = Server::start(|_, request| Reply::object(request, b"x"));
    let host = format!("http://{}", server.address);
    let options: Options = [
        ("s3plugin-hostname", host.as_str()),
        ("s3plugin-bucketid", "archive/deep/down"),
        ("s3plugin-keyid", "AKIDEXAMPLE"),
        ("s3plugin-seckey", SECRET),
    ]
    .into_iter()
    .collect();
    S3::open(&options).unwrap().head("key").unwrap();
    assert_eq!(server.requests()[0].target, "/archive/deep/down/key");
}
