// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Which checksum uploads carry, and what stores say that know another one.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use cloudsync_store::checksum::Algorithm;
use cloudsync_store::{Archive, StoreError};
use cloudsync_store_conformance::{Bytes, pattern};
use md5::{Digest, Md5};

use crate::headers::kind;
use crate::open;
use crate::put::parts_server;
use crate::server::{Reply, Request, Server};

const LARGE: usize = (16 << 20) + 7;

/// Uploads an object of one part, and one of two. Returns what was sent by kind; of parts, the last one.
fn sent(list: &str) -> BTreeMap<&'static str, Request> {
    let bytes = pattern(1, LARGE);
    let copy = bytes.clone();
    let completed = AtomicBool::new(false);
    let large = Server::start(move |_, request| parts_server(&completed, request, &copy));
    let small = Server::start(|_, _| Reply::new(200).header("etag", "\"one\""));
    let source = Bytes::new(bytes[..1000].to_vec());
    open(&small, list).put("dir/key", &source.upload()).unwrap();
    // Its metadata is another test's: what counts here is what was sent.
    let _ = open(&large, list).put("dir/key", &Bytes::new(bytes).upload());
    let all = small.requests().into_iter().chain(large.requests());
    all.map(|request| (kind(&request), request)).collect()
}

fn header(name: &str) -> impl Fn(&Request) -> Option<String> {
    move |request| request.header(name).map(str::to_owned)
}

fn md5(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(Md5::digest(bytes))
}

#[test]
fn each_setting_sends_its_checksum_and_no_other() {
    const CRCS: [(&str, &str, Algorithm); 3] = [
        (
            "crc64nvme",
            "x-amz-checksum-crc64nvme",
            Algorithm::Crc64Nvme,
        ),
        ("crc32c", "x-amz-checksum-crc32c", Algorithm::Crc32c),
        ("crc32", "x-amz-checksum-crc32", Algorithm::Crc32),
    ];
    for list in ["auto", "none", "md5", "crc64nvme", "crc32c", "crc32"] {
        let sent = sent(&format!("checksum={list}"));
        for kind in ["PutObject", "UploadPart"] {
            let request = &sent[kind];
            for (name, field, algorithm) in CRCS {
                let expected = (name == list).then(|| algorithm.of(&request.body).base64());
                assert_eq!(header(field)(request), expected, "{list}: {kind} {field}");
            }
            let expected = (list == "md5").then(|| md5(&request.body));
            assert_eq!(header("content-md5")(request), expected, "{list}: {kind}");
            // The bytes are signed in any case.
            assert_eq!(header("x-amz-content-sha256")(request).unwrap().len(), 64);
        }
        let whole = (list == "crc64nvme").then(|| "FULL_OBJECT".to_owned());
        for kind in ["CreateMultipartUpload", "CompleteMultipartUpload"] {
            assert_eq!(
                header("x-amz-checksum-type")(&sent[kind]),
                whole,
                "{list}: {kind}"
            );
        }
        let crc = CRCS.iter().any(|(name, _, _)| *name == list);
        let algorithm = header("x-amz-checksum-algorithm")(&sent["CreateMultipartUpload"]);
        let algorithm = algorithm.map(|name| name.to_lowercase());
        assert_eq!(algorithm.as_deref(), crc.then_some(list), "{list}");
        let completed = String::from_utf8_lossy(&sent["CompleteMultipartUpload"].body).into_owned();
        assert_eq!(
            completed.matches("<Checksum").count(),
            if crc { 2 } else { 0 },
            "{completed}"
        );
    }
}

const REQUIRED: &str = "<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP header \
    is required for Put Object requests with Object Lock parameters</Message></Error>";

fn demanding() -> Server {
    Server::start(|_, request| match request.header("content-md5") {
        None if request.method == "PUT" => Reply::new(400).body(REQUIRED.as_bytes()),
        _ => Reply::new(200).header("etag", "\"one\""),
    })
}

#[test]
fn a_store_that_demands_a_checksum_gets_one() {
    let server = demanding();
    let store = open(&server, "retries=1");
    for key in ["first", "second"] {
        store
            .put(key, &Bytes::new(pattern(2, 100)).upload())
            .unwrap();
    }
    let requests = server.requests();
    let sums: Vec<_> = requests.iter().map(header("content-md5")).collect();
    let sum = Some(md5(&pattern(2, 100)));
    assert_eq!(sums, [None, sum.clone(), sum]);
    // Not if the setting says otherwise.
    let store = open(&demanding(), "retries=1,checksum=none");
    let error = store
        .put("key", &Bytes::new(pattern(2, 100)).upload())
        .unwrap_err();
    assert!(matches!(error, StoreError::Settings(_)), "{error}");
    assert!(error.to_string().contains("checksum="), "{error}");
}

#[test]
fn a_store_that_does_not_know_the_checksum_is_told_of() {
    let body =
        "<Error><Code>InvalidRequest</Code><Message>Unknown checksum algorithm</Message></Error>";
    let server = Server::start(|_, _| Reply::new(400).body(body.as_bytes()));
    let store = open(&server, "checksum=crc64nvme");
    let error = store
        .put("key", &Bytes::new(pattern(3, 100)).upload())
        .unwrap_err();
    assert!(matches!(error, StoreError::Settings(_)), "{error}");
    assert!(error.to_string().contains("checksum="), "{error}");
    assert_eq!(server.summary(), ["PUT"]);
}

#[test]
fn bytes_that_were_damaged_on_the_way_are_sent_again() {
    let server = Server::start(|before, _| match before {
        0 => Reply::error(400, "BadDigest"),
        1 => Reply::error(400, "XAmzContentSHA256Mismatch"),
        _ => Reply::new(200).header("etag", "\"one\""),
    });
    open(&server, "")
        .put("key", &Bytes::new(pattern(4, 100)).upload())
        .unwrap();
    assert_eq!(server.summary(), ["PUT", "PUT", "PUT"]);
    let server = Server::start(|_, _| Reply::error(400, "BadDigest"));
    let error = open(&server, "retries=1").put("key", &Bytes::new(pattern(4, 100)).upload());
    assert!(matches!(error, Err(StoreError::Corrupt(_))), "{error:?}");
}

#[test]
fn several_objects_are_deleted_with_the_checksum_that_the_store_knows() {
    for (list, expected) in [("", false), ("checksum=md5", true)] {
        let server = Server::start(|_, _| Reply::new(200).body(b"<DeleteResult/>"));
        assert_eq!(open(&server, list).delete_all(&["a", "b"]), []);
        let request = &server.requests()[0];
        let sum = header("content-md5")(request);
        assert_eq!(sum, expected.then(|| md5(&request.body)), "{list}");
    }
}
