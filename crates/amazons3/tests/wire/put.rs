// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Uploads: the requests sent, and the effects of a lost answer, a busy store or an existing object.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use amazons3::S3;
use cloudsync_lab::http;

use cloudsync_store::checksum::Algorithm;
use cloudsync_store::{Archive, Checksum, Metadata, Rate, Source, Store, StoreError, Upload};

use crate::server::{End, Reply, Request, Server};
use crate::{noise, open, options};

struct Bytes(Vec<u8>);

impl Source for Bytes {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let begin = usize::try_from(offset).unwrap();
        let bytes = self.0.get(begin..begin + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

fn checksum(bytes: &[u8]) -> Checksum {
    Algorithm::Crc64Nvme.of(bytes)
}

/// The answer to HEAD of an existing object.
pub(crate) fn existing(bytes: &[u8]) -> Reply {
    Reply::new(200)
        .header("content-length", bytes.len())
        .header("etag", "\"one\"")
        .header("x-amz-meta-cloudsync-checksum", checksum(bytes))
        .header("x-amz-meta-colour", "light%20blue%0A")
}

fn metadata() -> Metadata {
    Metadata::from([("colour".to_owned(), "light blue\n".to_owned())])
}

/// Puts `bytes` to a server with these answers.
fn put(
    bytes: &[u8],
    list: &str,
    answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static,
) -> (Server, Result<(), StoreError>) {
    let server = Server::start(answer);
    let upload = Upload {
        size: bytes.len() as u64,
        checksum: checksum(bytes),
        metadata: &metadata(),
        source: &Bytes(bytes.to_vec()),
        rate: None,
        resumable: true,
    };
    let put = open(&server, list).put("dir/key", &upload);
    let done = put.map(|object| assert_eq!(object.checksum, Some(checksum(bytes))));
    (server, done)
}

#[test]
fn small_object_is_one_request() {
    let bytes = noise(5000);
    let copy = bytes.clone();
    let (server, done) = put(&bytes, "", move |_, request| {
        match request.method.as_str() {
            "PUT" => Reply::new(200).header("etag", "\"one\""),
            _ => existing(&copy),
        }
    });
    assert_eq!(done, Ok(()));
    assert_eq!(server.summary(), ["PUT"]);
    let sent = &server.requests()[0];
    assert!(sent.body == bytes);
    assert_eq!(sent.header("if-none-match"), Some("*"));
    assert_eq!(sent.header("x-amz-meta-colour"), Some("light%20blue%0A"));
    // Stores other than Amazon's may not know it.
    assert_eq!(sent.header("x-amz-checksum-crc64nvme"), None);
    let own = checksum(&bytes).to_string();
    assert_eq!(
        sent.header("x-amz-meta-cloudsync-checksum"),
        Some(own.as_str())
    );
}

#[test]
fn checksum_is_sent_to_stores_that_support_it() {
    let bytes = noise(100);
    let copy = bytes.clone();
    let (server, done) = put(
        &bytes,
        "checksum=when_supported",
        move |_, request| match request.method.as_str() {
            "PUT" => Reply::new(200).header("etag", "\"one\""),
            _ => existing(&copy),
        },
    );
    assert_eq!(done, Ok(()));
    let own = checksum(&bytes).base64();
    let sent = &server.requests()[0];
    assert_eq!(sent.header("x-amz-checksum-crc64nvme"), Some(own.as_str()));
}

#[test]
fn existing_object_is_never_overwritten() {
    let (server, done) = put(b"new", "", |_, _| Reply::error(412, "PreconditionFailed"));
    assert!(matches!(done, Err(StoreError::Exists(_))), "{done:?}");
    assert_eq!(server.summary(), ["PUT"]);
    // If a store does not support conditions, HEAD is sent first.
    let (server, done) = put(b"new", "", |before, request| {
        match request.method.as_str() {
            "PUT" if before == 0 => Reply::error(501, "NotImplemented"),
            _ => existing(b"old"),
        }
    });
    assert!(matches!(done, Err(StoreError::Exists(_))), "{done:?}");
    // The second HEAD: the first attempt may have succeeded with only its answer lost.
    assert_eq!(server.summary(), ["PUT", "HEAD", "HEAD"]);
}

#[test]
fn lost_answer_is_not_mistaken_for_a_conflict() {
    let bytes = noise(3000);
    let copy = bytes.clone();
    let (server, done) = put(&bytes, "", move |before, request| {
        match request.method.as_str() {
            "PUT" if before == 0 => Reply::new(200).body(b"lost").truncate_body(0, End::Reset),
            "PUT" => Reply::error(412, "PreconditionFailed"),
            _ => existing(&copy),
        }
    });
    assert_eq!(done, Ok(()), "{:?}", server.summary());
}

#[test]
fn only_a_busy_store_is_retried() {
    let (server, done) = put(b"bytes", "", |before, request| {
        match request.method.as_str() {
            "PUT" if before < 2 => Reply::error(503, "SlowDown"),
            "PUT" => Reply::new(200).header("etag", "\"one\""),
            _ => existing(b"bytes"),
        }
    });
    assert_eq!(done, Ok(()));
    assert_eq!(server.summary(), ["PUT", "PUT", "PUT"]);
    let (server, done) = put(b"bytes", "", |_, _| Reply::error(403, "AccessDenied"));
    assert!(
        matches!(done, Err(StoreError::PermissionDenied(_))),
        "{done:?}"
    );
    assert_eq!(server.summary(), ["PUT"]);
}

#[test]
fn corrupt_upload_is_an_error_and_removed() {
    // The answer does not contain the object's checksum, so HEAD is sent.
    let (server, done) = put(b"right", "", |_, request| match request.method.as_str() {
        "HEAD" => existing(b"wrong"),
        _ => Reply::new(200),
    });
    assert!(matches!(done, Err(StoreError::Corrupt(_))), "{done:?}");
    assert_eq!(server.summary(), ["PUT", "HEAD", "DELETE"]);
}

#[test]
fn source_not_matching_its_description_is_not_sent() {
    let server = Server::start(|_, _| Reply::new(200));
    let upload = |size, source: &Bytes| {
        open(&server, "").put(
            "key",
            &Upload {
                size,
                checksum: checksum(b"before"),
                metadata: &Metadata::new(),
                source,
                rate: None,
                resumable: true,
            },
        )
    };
    let changed = upload(5, &Bytes(b"after".to_vec()));
    assert!(
        matches!(changed, Err(StoreError::Corrupt(_))),
        "{changed:?}"
    );
    let shorter = upload(6, &Bytes(b"bef".to_vec()));
    assert!(matches!(shorter, Err(StoreError::Source(_))), "{shorter:?}");
    assert!(server.summary().is_empty());
}

/// A burst of half a second is allowed at the beginning.
#[test]
fn rate_holds_within_an_object() {
    let bytes = noise(300_000);
    let server = Server::start(|_, _| Reply::new(200).header("etag", "\"one\""));
    let rate = Arc::new(Rate::new(100_000.0, || false));
    let upload = Upload {
        size: bytes.len() as u64,
        checksum: checksum(&bytes),
        metadata: &metadata(),
        source: &Bytes(bytes.clone()),
        rate: Some(&rate),
        resumable: true,
    };
    let started = Instant::now();
    open(&server, "").put("key", &upload).unwrap();
    let took = started.elapsed().as_secs_f64();
    assert!(took >= 2.0, "{took}");
    let sent = &server.requests()[0];
    assert!(sent.body == bytes && sent.header("content-length") == Some("300000"));
    // The bytes are signed all the same.
    let signed = sent.header("x-amz-content-sha256").unwrap();
    assert_eq!(signed.len(), 64, "{signed}");
    println!("300,000 bytes at 100,000 bytes/s: {took:.1} s");
}

const CREATED: &str =
    "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>";

#[test]
fn multipart_upload_leaves_no_parts_when_it_fails() {
    const SIZE: usize = (16 << 20) + 7;
    let bytes = noise(SIZE);
    for fails in [false, true] {
        let copy = bytes.clone();
        let completed = AtomicBool::new(false);
        let (server, done) = put(&bytes, "retries=0", move |_, request| {
            let part = request.target.contains("partNumber=2");
            match request.method.as_str() {
                "PUT" if part && fails => Reply::error(403, "AccessDenied"),
                "DELETE" => Reply::new(204),
                _ => parts_server(&completed, request, &copy),
            }
        });
        let requests = server.requests();
        let count = |method: &str| {
            requests
                .iter()
                .filter(|request| request.method == method)
                .count()
        };
        assert_eq!(done.is_err(), fails, "{done:?}");
        assert_eq!(count("DELETE"), usize::from(fails));
        assert_eq!(count("POST"), if fails { 1 } else { 2 });
        if !fails {
            let mut parts: Vec<_> = requests
                .iter()
                .filter(|request| request.method == "PUT")
                .collect();
            parts.sort_by_key(|part| part.target.clone());
            let sent: Vec<u8> = parts.iter().flat_map(|part| part.body.clone()).collect();
            assert!(parts.len() == 2 && sent == bytes);
        }
    }
}

/// Another run that uploads the same key finishes first: its object is neither replaced nor removed.
#[test]
fn an_object_that_appears_during_an_upload_is_left_alone() {
    let bytes = noise((16 << 20) + 7);
    let other = noise(99);
    let (server, done) = put(
        &bytes,
        "conditional-writes=off",
        move |before, request| match request.method.as_str() {
            "HEAD" if before > 0 => existing(&other),
            _ => parts_server(&AtomicBool::new(false), request, &other),
        },
    );
    assert!(matches!(done, Err(StoreError::Exists(_))), "{done:?}");
    for request in server.requests() {
        let target = &request.target;
        match request.method.as_str() {
            "POST" => assert!(target.contains("uploads"), "{target}"),
            // Of the upload, not of the object.
            "DELETE" => assert!(target.contains("uploadId"), "{target}"),
            _ => {}
        }
    }
}

/// Parts that the network swallows cost the time of a silence each, and only they are sent again.
#[test]
fn swallowed_parts_are_sent_again_one_by_one() {
    const SIZE: usize = (48 << 20) + 7;
    let bytes = noise(SIZE);
    let copy = bytes.clone();
    let swallowed = Mutex::new(BTreeSet::new());
    let started = Instant::now();
    let completed = AtomicBool::new(false);
    let (server, done) = put(&bytes, "stall-timeout=1s", move |_, request| {
        let part =
            request.target.contains("partNumber=2") || request.target.contains("partNumber=3");
        let first = part && swallowed.lock().unwrap().insert(request.target.clone());
        match request.method.as_str() {
            "PUT" if first => Reply::silence(),
            _ => parts_server(&completed, request, &copy),
        }
    });
    assert_eq!(done, Ok(()));
    let sent = |number: u8| {
        let part = format!("partNumber={number}");
        let requests = server.requests();
        let sent = requests.iter().filter(|one| one.target.contains(&part));
        sent.count()
    };
    println!(
        "two swallowed parts: {:.1} s",
        started.elapsed().as_secs_f64()
    );
    // A slow machine may send a part again that only seemed to be swallowed.
    assert!(sent(2) >= 2 && sent(3) >= 2, "{:?}", server.summary());
    assert_eq!(
        server
            .requests()
            .iter()
            .filter(|one| one.method == "DELETE")
            .count(),
        0
    );
}

/// The line is slow, but the connection moves, so it may take as long as it needs. On a busy machine it may seem not to
/// move, and a retry waits longer.
#[test]
fn slow_line_is_waited_for() {
    const SIZE: usize = 8 << 20;
    let bytes = noise(SIZE);
    let server = slow_server();
    let upload = Upload {
        size: bytes.len() as u64,
        checksum: checksum(&bytes),
        metadata: &metadata(),
        source: &Bytes(bytes),
        rate: None,
        resumable: true,
    };
    // Much shorter than the whole upload.
    let store = S3::open(&options(&server, "stall-timeout=1s")).unwrap();
    let started = Instant::now();
    store.put("key", &upload).unwrap();
    println!(
        "8 MiB through a slow line: {:.1} s",
        started.elapsed().as_secs_f64()
    );
    assert!(started.elapsed() > Duration::from_secs(2));
}

/// A server that takes 64 KiB at a time, with pauses in between, into a small buffer.
fn slow_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Before a connection exists, whose window could not shrink.
    rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 64 << 10).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || take_slowly(stream));
        }
    });
    address
}

fn take_slowly(mut stream: TcpStream) -> io::Result<()> {
    let head = http::head(&mut BufReader::with_capacity(1, &stream))?;
    let length = http::header(&head, "content-length").unwrap_or("0");
    let mut left: usize = length.parse().map_err(io::Error::other)?;
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        thread::sleep(Duration::from_millis(20));
        let most = left.min(buffer.len());
        match stream.read(&mut buffer[..most])? {
            0 => return Ok(()),
            taken => left -= taken,
        }
    }
    stream.write_all(
        b"HTTP/1.1 200 OK\r\netag: \"one\"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    )
}

/// The answers of a store that takes a multipart upload of `bytes`. `completed`: whether it was completed.
pub(crate) fn parts_server(completed: &AtomicBool, request: &Request, bytes: &[u8]) -> Reply {
    match request.method.as_str() {
        "HEAD" if !completed.load(Ordering::SeqCst) => Reply::new(404),
        "POST" if request.target.contains("uploads") => Reply::new(200).body(CREATED.as_bytes()),
        "POST" => {
            completed.store(true, Ordering::SeqCst);
            Reply::new(200).body(
                b"<CompleteMultipartUploadResult><ETag>\"one\"</ETag></CompleteMultipartUploadResult>",
            )
        }
        "PUT" => Reply::new(200).header("etag", "\"part\""),
        "HEAD" => existing(bytes),
        _ => Reply::error(404, "NoSuchKey"),
    }
}

/// A store of multipart uploads for one key, which fails after some parts have come.
#[derive(Default)]
struct Uploads {
    parts: BTreeMap<u32, Vec<u8>>,
    created: u32,
    object: Option<Vec<u8>>,
}

fn number_of(request: &Request) -> Option<u32> {
    let (_, after) = request.target.split_once("partNumber=")?;
    after.split('&').next()?.parse().ok()
}

impl Uploads {
    fn answer(&mut self, request: &Request, most: usize) -> Reply {
        let xml = |text: String| Reply::new(200).body(text.as_bytes());
        let target = request.target.as_str();
        match request.method.as_str() {
            "HEAD" => match &self.object {
                Some(bytes) => existing(bytes),
                None => Reply::new(404),
            },
            "GET" if target.contains("uploadId=") => {
                let after = target.split("part-number-marker=").nth(1);
                let after =
                    after.map_or(0, |text| text.split('&').next().unwrap().parse().unwrap());
                // Two in a page.
                let page: Vec<_> = self.parts.range(after + 1..).take(2).collect();
                let last = page.last().map_or(0, |(number, _)| **number);
                let more = self.parts.range(last + 1..).next().is_some();
                let parts = page.into_iter().map(|(number, bytes)| {
                    let (etag, size) = (md5(bytes), bytes.len());
                    format!(
                        "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag>\
                         <Size>{size}</Size></Part>"
                    )
                });
                let parts: String = parts.collect();
                xml(format!(
                    "<ListPartsResult>{parts}<IsTruncated>{more}</IsTruncated>\
                     <NextPartNumberMarker>{last}</NextPartNumberMarker></ListPartsResult>"
                ))
            }
            "GET" if target.contains("uploads") && self.created > 0 => {
                let upload = |key| {
                    format!(
                        "<Upload><Key>{key}</Key><UploadId>u1</UploadId>\
                     <Initiated>2026-01-01T00:00:00Z</Initiated></Upload>"
                    )
                };
                xml(format!(
                    "<ListMultipartUploadsResult>{}{}</ListMultipartUploadsResult>",
                    upload("dir/key"),
                    upload("dir/key-of-another")
                ))
            }
            "GET" => Reply::error(404, "NoSuchKey"),
            "POST" if target.contains("uploads") => {
                self.created += 1;
                self.parts.clear();
                xml(CREATED.to_owned())
            }
            "POST" => {
                self.object = Some(self.parts.values().flatten().copied().collect());
                xml("<CompleteMultipartUploadResult/>".to_owned())
            }
            "PUT" if self.parts.len() >= most => Reply::error(503, "SlowDown"),
            "PUT" => {
                let number = number_of(request).unwrap();
                let etag = format!("\"{}\"", md5(&request.body));
                self.parts.insert(number, request.body.clone());
                Reply::new(200).header("etag", etag)
            }
            _ => Reply::new(204),
        }
    }
}

fn md5(bytes: &[u8]) -> String {
    use md5::{Digest, Md5};
    let digest = Md5::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The second run sends only the parts that are missing, unless the file has changed.
#[test]
fn interrupted_upload_is_resumed() {
    const SIZE: usize = (64 << 20) + 7;
    const PARTS: usize = 5;
    for changed in [false, true] {
        let uploads = Arc::new(Mutex::new(Uploads::default()));
        let run = |bytes: &[u8], most| {
            let uploads = Arc::clone(&uploads);
            put(bytes, "retries=1", move |_, request| {
                uploads.lock().unwrap().answer(request, most)
            })
        };
        let mut bytes = noise(SIZE);
        let (server, done) = run(&bytes, 3);
        assert!(matches!(done, Err(StoreError::Throttled(_))), "{done:?}");
        assert!(!server.summary().contains(&"DELETE".to_owned()));
        assert_eq!(uploads.lock().unwrap().parts.len(), 3);
        if changed {
            // In every part, because any three of them may be there.
            (0..SIZE).step_by(16 << 20).for_each(|at| bytes[at] ^= 1);
        }
        let (server, done) = run(&bytes, PARTS);
        assert_eq!(done, Ok(()), "{:?}", server.summary());
        let sent = server.requests().iter().filter_map(number_of).count();
        let created = uploads.lock().unwrap().created;
        if changed {
            // Some may have been sent before the first one that differs.
            assert!(created == 2 && sent >= PARTS, "{created} {sent}");
        } else {
            assert_eq!((created, sent), (1, PARTS - 3));
        }
        assert!(uploads.lock().unwrap().object.as_ref() == Some(&bytes));
        println!("changed {changed}: {sent} of {PARTS} parts sent in the second run");
    }
}
