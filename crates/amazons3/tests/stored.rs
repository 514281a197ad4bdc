// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What objects are stored as, on a real S3 server (Ceph's) that enforces it: classes, tags, ACLs, encryption, and who
//! pays.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use amazons3::S3;
use cloudsync_lab::{Bucket, Lab, User};
use cloudsync_store::{Archive, Options, Store, StoreError};
use cloudsync_store_conformance::{Bytes, Memory, pattern};

/// One part, and more than one.
const SIZES: [usize; 2] = [1000, (16 << 20) + 7];

fn lab() -> &'static Lab {
    Lab::shared(cloudsync_lab::Options::default)
}

/// A class that the server has besides its own.
const CLASS: &str = "COLD";

fn bucket(stem: &str) -> Bucket {
    static CLASSES: Once = Once::new();
    let server = lab().s3().unwrap();
    // It starts the server again, so it comes before all tests.
    CLASSES.call_once(|| server.add_storage_class(CLASS).unwrap());
    server.bucket(stem).unwrap()
}

fn options(bucket: &Bucket, user: &User, list: &str) -> Options {
    let server = lab().s3().unwrap();
    let ca = lab().outer(server.ca_pem());
    [
        ("s3plugin-hostname", server.https_url()),
        ("s3plugin-bucketid", bucket.name().to_owned()),
        ("s3plugin-keyid", user.key.clone()),
        ("s3plugin-seckey", user.secret.clone()),
        (
            "cloudsync-store-id",
            format!("retries=2,ca={},{list}", ca.display()),
        ),
    ]
    .into_iter()
    .collect()
}

/// Runs `work` with the owner's store of these settings.
fn with(bucket: &Bucket, list: &str, work: impl FnOnce(&S3) + Send + 'static) {
    let options = options(bucket, &lab().s3().unwrap().owner(), list);
    let work = move || work(&S3::open(&options).unwrap());
    lab().in_network(work).unwrap();
}

fn put_all(store: &S3) {
    for size in SIZES {
        let source = Bytes::new(pattern(size as u64, size));
        let object = store.put(&size.to_string(), &source.upload()).unwrap();
        assert_eq!(
            (object.size, object.checksum),
            (size as u64, Some(source.checksum()))
        );
    }
}

/// Reads each object whole, after a HEAD.
fn read_all(store: &S3) {
    for size in SIZES {
        let key = size.to_string();
        let object = store.head(&key).unwrap();
        let mut sink = Memory::default();
        store
            .fetch(&key, &object, 0..size as u64, &mut sink)
            .unwrap();
        assert!(sink.bytes == pattern(size as u64, size), "{size}");
    }
}

/// What the aws CLI prints.
fn aws(bucket: &Bucket, command: &str, key: &str) -> String {
    let args = ["s3api", command, "--bucket", bucket.name(), "--key", key];
    let answer = bucket.aws(args).unwrap();
    assert!(answer.success(), "{answer}");
    String::from_utf8_lossy(&answer.stdout).into_owned()
}

#[test]
fn objects_have_the_class_the_tags_and_the_acl() {
    let bucket = bucket("class");
    with(
        &bucket,
        "storage-class=COLD,tags=tier=cold&owner=a b,acl=bucket-owner-read",
        |store| {
            put_all(store);
            read_all(store);
        },
    );
    for size in SIZES {
        let key = size.to_string();
        let head = bucket.head(&key).unwrap().unwrap();
        assert_eq!(head.header("x-amz-storage-class"), Some("COLD"), "{head:?}");
        let tags = aws(&bucket, "get-object-tagging", &key);
        for word in ["tier", "cold", "owner", "a b"] {
            assert!(tags.contains(&format!("\"{word}\"")), "{key}: {tags:?}");
        }
        let acl = aws(&bucket, "get-object-acl", &key);
        assert!(acl.contains("FULL_CONTROL"), "{key}: {acl:?}");
    }
    with(&bucket, "storage-class=NO_SUCH_CLASS", |store| {
        let error = store
            .put("other", &Bytes::new(vec![1; 10]).upload())
            .unwrap_err();
        println!("a class that is none: {error}");
        assert!(error.to_string().contains("storage-class="), "{error}");
    });
}

#[test]
fn objects_are_encrypted_with_a_key_of_the_service() {
    let bucket = bucket("service");
    with(&bucket, "sse=aws:kms,kms-key=lab-key", |store| {
        put_all(store);
        read_all(store);
    });
    for size in SIZES {
        let head = bucket
            .over_https()
            .head(&size.to_string())
            .unwrap()
            .unwrap();
        assert_eq!(
            head.header("x-amz-server-side-encryption"),
            Some("aws:kms"),
            "{head:?}"
        );
        let key = head.header("x-amz-server-side-encryption-aws-kms-key-id");
        assert_eq!(key, Some("lab-key"), "{head:?}");
    }
    with(&bucket, "sse=aws:kms,kms-key=another", |store| {
        let error = store
            .put("other", &Bytes::new(vec![1; 10]).upload())
            .unwrap_err();
        println!("a key that the service does not know: {error}");
        assert!(error.to_string().contains("kms-key="), "{error}");
    });
}

fn key_file(name: &str, key: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("cloudsync-{name}-{}", std::process::id()));
    std::fs::write(&path, key).unwrap();
    path
}

/// The error of a HEAD and of a GET: both name the setting, neither the key, and no byte arrives.
fn unreadable(store: &S3, key: &str) {
    for size in SIZES {
        let name = size.to_string();
        let object = cloudsync_store::Object {
            size: size as u64,
            etag: None,
            checksum: None,
        };
        let mut sink = Memory::default();
        let get = store
            .fetch(&name, &object, 0..size as u64, &mut sink)
            .unwrap_err();
        for error in [store.head(&name).unwrap_err(), get] {
            println!("{error}");
            let text = error.to_string();
            assert!(matches!(error, StoreError::PermissionDenied(_)), "{text}");
            assert!(
                text.contains("sse-c-key-file=") && !text.contains(key),
                "{text}"
            );
        }
        assert!(sink.bytes.is_empty());
    }
}

#[test]
fn only_the_customers_key_reads_what_it_has_written() {
    const KEYS: [&str; 2] = [
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
    ];
    let files = [key_file("one", KEYS[0]), key_file("two", KEYS[1])];
    let lists = files
        .clone()
        .map(|file| format!("sse-c-key-file={}", file.display()));
    let bucket = bucket("customer");
    with(&bucket, &lists[0], |store| {
        put_all(store);
        read_all(store);
    });
    with(&bucket, &lists[1], |store| unreadable(store, KEYS[1]));
    with(&bucket, "", |store| unreadable(store, KEYS[0]));
    for file in files {
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn who_pays_is_said_in_every_request() {
    let bucket = bucket("payer");
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"s3:*",
            "Principal":{{"AWS":["arn:aws:iam:::user/stranger"]}},
            "Resource":["arn:aws:s3:::{0}","arn:aws:s3:::{0}/*"]}}]}}"#,
        bucket.name()
    );
    for args in [
        ["put-bucket-policy", "--policy", &policy],
        [
            "put-bucket-request-payment",
            "--request-payment-configuration",
            "Payer=Requester",
        ],
    ] {
        let [command, option, value] = args;
        let args = ["s3api", command, "--bucket", bucket.name(), option, value];
        let set = bucket.aws(args).unwrap();
        assert!(set.success(), "{set}");
    }
    let stranger = lab().s3().unwrap().user_without_rights();
    let [without, paying] = ["", "requester-pays=on"].map(|list| options(&bucket, &stranger, list));
    let work = move || {
        let store = S3::open(&paying).unwrap();
        put_all(&store);
        read_all(&store);
        let mut count = 0;
        let mut each = |_| {
            count += 1;
            ControlFlow::Continue(())
        };
        store.list("", &mut each).unwrap();
        assert_eq!(count, SIZES.len());
        store.unfinished("", Duration::ZERO, true).unwrap();
        let error = S3::open(&without).unwrap().head("1000").unwrap_err();
        assert!(matches!(error, StoreError::PermissionDenied(_)), "{error}");
        assert_eq!(store.delete_all(&["1000"]), []);
        assert!(matches!(store.head("1000"), Err(StoreError::Missing(_))));
    };
    lab().in_network(work).unwrap();
}
