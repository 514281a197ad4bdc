// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Which requests carry the headers of the settings: every kind of request that the plugin sends is looked at.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use amazons3::S3;
use cloudsync_store::{Archive, Store, StoreError};
use cloudsync_store_conformance::{Bytes, pattern};

use crate::put::existing;
use crate::server::{Reply, Request, Server};
use crate::{Memory, object_of, open};

const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const LARGE: usize = (16 << 20) + 7;

/// The kind of a request, by the name that Amazon gives it.
pub(crate) fn kind(request: &Request) -> &'static str {
    let has = |word: &str| {
        let (_, query) = request.target.split_once('?').unwrap_or_default();
        query
            .split('&')
            .any(|item| item.split('=').next() == Some(word))
    };
    match request.method.as_str() {
        "HEAD" => "HeadObject",
        "PUT" if has("partNumber") => "UploadPart",
        "PUT" if has("tagging") => "PutObjectTagging",
        "PUT" => "PutObject",
        "POST" if has("uploads") => "CreateMultipartUpload",
        "POST" if has("uploadId") => "CompleteMultipartUpload",
        "POST" if has("delete") => "DeleteObjects",
        "POST" if has("restore") => "RestoreObject",
        "DELETE" if has("uploadId") => "AbortMultipartUpload",
        "DELETE" => "DeleteObject",
        _ if has("uploads") => "ListMultipartUploads",
        _ if has("uploadId") => "ListParts",
        _ if has("list-type") => "ListObjectsV2",
        _ => "GetObject",
    }
}

/// A store with an unfinished upload without usable parts, an object `small`, and one that must be restored.
fn answer(request: &Request, large: &[u8]) -> Reply {
    const CREATED: &str =
        "<InitiateMultipartUploadResult><UploadId>u2</UploadId></InitiateMultipartUploadResult>";
    const UPLOADS: &str = "<ListMultipartUploadsResult><Upload><Key>large</Key><UploadId>u1</UploadId>\
         <Initiated>2026-01-01T00:00:00Z</Initiated></Upload></ListMultipartUploadsResult>";
    let xml = |text: &str| Reply::new(200).body(text.as_bytes());
    match kind(request) {
        "HeadObject" if request.target.contains("large") && large.is_empty() => Reply::new(404),
        "HeadObject" if request.target.contains("large") => existing(large),
        "GetObject" if request.target.contains("archived") => {
            Reply::error(403, "InvalidObjectState")
        }
        "HeadObject" | "GetObject" => Reply::object(request, b"bytes"),
        "CreateMultipartUpload" => xml(CREATED),
        "CompleteMultipartUpload" => xml("<CompleteMultipartUploadResult/>"),
        "ListMultipartUploads" => xml(UPLOADS),
        "ListParts" => xml("<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>"),
        "ListObjectsV2" => xml("<ListBucketResult/>"),
        "DeleteObjects" => xml("<DeleteResult/>"),
        "RestoreObject" => Reply::new(202),
        "PutObject" | "UploadPart" => Reply::new(200).header("etag", "\"one\""),
        _ => Reply::new(204),
    }
}

/// Sends requests of all kinds. Returns one of each.
fn all_kinds(list: &str) -> BTreeMap<&'static str, Request> {
    let bytes = pattern(1, LARGE);
    let copy = bytes.clone();
    let server = Server::start(move |before, request| {
        // The first question is whether the object exists; it does not before it is complete.
        let exists = before > 10;
        answer(request, if exists { &copy } else { &[] })
    });
    let store: S3 = open(&server, &format!("retries=0,restore=standard,{list}"));
    store
        .put("small", &Bytes::new(vec![1; 10]).upload())
        .unwrap();
    // The answers to its HEADs come in an order that this server does not know: what it ends with does not matter.
    let _ = store.put("large", &Bytes::new(bytes).upload());
    let mut sink = Memory::default();
    store
        .fetch("key", &object_of(b"bytes"), 0..5, &mut sink)
        .unwrap();
    let archived = store.fetch("archived", &object_of(b"bytes"), 0..5, &mut sink);
    assert!(
        matches!(archived, Err(StoreError::Archived(_))),
        "{archived:?}"
    );
    store.list("", &mut |_| ControlFlow::Continue(())).unwrap();
    store.unfinished("", Duration::ZERO, true).unwrap();
    store.delete("key").unwrap();
    assert_eq!(store.delete_all(&["key"]), []);
    let requests = server.requests().into_iter();
    requests.map(|request| (kind(&request), request)).collect()
}

const KINDS: &[&str] = &[
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CreateMultipartUpload",
    "DeleteObject",
    "DeleteObjects",
    "GetObject",
    "HeadObject",
    "ListMultipartUploads",
    "ListObjectsV2",
    "ListParts",
    "PutObject",
    "RestoreObject",
    "UploadPart",
];

/// The kinds of request that carry a header, and its value.
fn with(requests: &BTreeMap<&'static str, Request>, header: &str) -> (Vec<&'static str>, String) {
    let found = requests
        .iter()
        .filter(|(_, request)| request.header(header).is_some());
    let kinds = found.clone().map(|(kind, _)| *kind).collect();
    let mut values: Vec<_> = found
        .map(|(_, request)| request.header(header).unwrap())
        .collect();
    values.dedup();
    (kinds, values.join(" and "))
}

const CREATE: &[&str] = &["CreateMultipartUpload", "PutObject"];

#[test]
fn only_what_creates_an_object_says_what_it_is_stored_as() {
    let requests = all_kinds(
        "storage-class=STANDARD_IA,acl=bucket-owner-full-control,tags=a=b&c=d e,sse=aws:kms,kms-key=k1",
    );
    for (header, value) in [
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-acl", "bucket-owner-full-control"),
        ("x-amz-tagging", "a=b&c=d%20e"),
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "k1"),
    ] {
        assert_eq!(
            with(&requests, header),
            (CREATE.to_vec(), value.to_owned()),
            "{header}"
        );
    }
    let signed = requests["PutObject"].header("authorization").unwrap();
    assert!(signed.contains("x-amz-storage-class"), "{signed}");
}

#[test]
fn a_customers_key_is_in_every_request_that_needs_it() {
    let path: PathBuf = std::env::temp_dir().join(format!("cloudsync-wire-{}", std::process::id()));
    std::fs::write(&path, KEY).unwrap();
    let requests = all_kinds(&format!("sse-c-key-file={}", path.display()));
    std::fs::remove_file(path).unwrap();
    let kinds = [
        "CompleteMultipartUpload",
        "CreateMultipartUpload",
        "GetObject",
        "HeadObject",
        "ListParts",
        "PutObject",
        "UploadPart",
    ];
    for (header, value) in [
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-server-side-encryption-customer-key", KEY),
        (
            "x-amz-server-side-encryption-customer-key-md5",
            "ykYHAPLI5IUGt2VUBgYz7g==",
        ),
    ] {
        assert_eq!(with(&requests, header).0, kinds, "{header}");
        assert!(
            header.ends_with("md5") || with(&requests, header).1 == value,
            "{header}"
        );
    }
    assert_eq!(with(&requests, "x-amz-server-side-encryption").0, [""; 0]);
}

#[test]
fn who_pays_is_in_every_request() {
    let requests = all_kinds("requester-pays=on");
    let (kinds, value) = with(&requests, "x-amz-request-payer");
    assert_eq!((kinds.as_slice(), value.as_str()), (KINDS, "requester"));
}

#[test]
fn without_settings_there_are_no_such_headers() {
    let requests = all_kinds("");
    assert_eq!(requests.keys().copied().collect::<Vec<_>>(), KINDS);
    for header in [
        "x-amz-storage-class",
        "x-amz-acl",
        "x-amz-tagging",
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-request-payer",
    ] {
        assert_eq!(with(&requests, header).0, [""; 0], "{header}");
    }
}

/// What Amazon answers when an object is read with another key, or with one that it was not written with.
#[test]
fn a_wrong_customers_key_is_an_error_that_names_the_setting() {
    let path = std::env::temp_dir().join(format!("cloudsync-wrong-{}", std::process::id()));
    std::fs::write(&path, KEY).unwrap();
    let list = format!("retries=0,sse-c-key-file={}", path.display());
    for (status, code, message) in [
        (403, "AccessDenied", "Access Denied"),
        (
            400,
            "InvalidRequest",
            "The encryption parameters are not applicable to this object.",
        ),
        (
            400,
            "InvalidArgument",
            "The calculated MD5 hash of the key did not match the hash that was provided.",
        ),
    ] {
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        let server = Server::start(move |_, request| match request.method.as_str() {
            "HEAD" => Reply::new(status),
            _ => Reply::new(status).body(body.as_bytes()),
        });
        let store = open(&server, &list);
        let mut sink = Memory::default();
        let get = store
            .fetch("key", &object_of(b"bytes"), 0..5, &mut sink)
            .unwrap_err();
        for error in [store.head("key").unwrap_err(), get] {
            let text = error.to_string();
            assert!(matches!(error, StoreError::PermissionDenied(_)), "{text}");
            assert!(
                text.contains("sse-c-key-file=") && !text.contains(KEY),
                "{text}"
            );
        }
        assert!(sink.bytes.is_empty());
    }
    std::fs::remove_file(path).unwrap();
}
