// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Buckets that keep versions, and lock them, on a real S3 server (Ceph's).

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

use amazons3::S3;
use cloudsync_lab::{Bucket, Lab};
use cloudsync_store::{Archive, Options, Store, StoreError};
use cloudsync_store_conformance::{Bytes, Memory, pattern};

/// One part, and more than one.
const SIZES: [usize; 2] = [1000, (16 << 20) + 7];

fn lab() -> &'static Lab {
    Lab::shared(cloudsync_lab::Options::default)
}

/// Runs the aws CLI on the bucket. Returns what it printed.
fn aws(bucket: &Bucket, command: &str, more: &[&str]) -> String {
    let args = [&["s3api", command, "--bucket", bucket.name()], more].concat();
    let answer = bucket.aws(args).unwrap();
    assert!(answer.success(), "{answer}");
    String::from_utf8_lossy(&answer.stdout).into_owned()
}

/// Runs `work` with a store of these settings.
fn with(bucket: &Bucket, list: &str, work: impl FnOnce(&S3) + Send + 'static) {
    let server = lab().s3().unwrap();
    let user = server.owner();
    let options: Options = [
        ("s3plugin-hostname", server.http_url()),
        ("s3plugin-bucketid", bucket.name().to_owned()),
        ("s3plugin-keyid", user.key),
        ("s3plugin-seckey", user.secret),
        ("cloudsync-store-id", format!("retries=2,{list}")),
    ]
    .into_iter()
    .collect();
    let work = move || work(&S3::open(&options).unwrap());
    lab().in_network(work).unwrap();
}

fn put_all(store: &S3) {
    for size in SIZES {
        let (key, source) = (size.to_string(), Bytes::new(pattern(size as u64, size)));
        let object = store.put(&key, &source.upload()).unwrap();
        assert_eq!(store.head(&key), Ok(object.clone()));
        let mut sink = Memory::default();
        store
            .fetch(&key, &object, 0..size as u64, &mut sink)
            .unwrap();
        assert!(sink.bytes == pattern(size as u64, size), "{size}");
    }
}

fn keys() -> [String; 2] {
    SIZES.map(|size| size.to_string())
}

fn assert_missing(store: &S3) {
    for key in keys() {
        let missing = store.head(&key);
        assert!(
            matches!(missing, Err(StoreError::Missing(_))),
            "{missing:?}"
        );
    }
}

#[test]
fn what_a_bucket_with_versions_keeps_is_counted_or_removed() {
    let bucket = lab().s3().unwrap().bucket("versions").unwrap();
    let on = ["--versioning-configuration", "Status=Enabled"];
    aws(&bucket, "put-bucket-versioning", &on);
    with(&bucket, "", |store| {
        put_all(store);
        let [one, two] = keys();
        store.delete(&one).unwrap();
        assert_eq!(store.delete_all(&[&two]), []);
        assert_missing(store);
        assert_eq!(store.hidden(), 2);
    });
    assert_eq!(
        aws(&bucket, "list-object-versions", &[])
            .matches("\"Size\"")
            .count(),
        2
    );
    // Also what was only hidden before; and a key that begins like another one is not touched.
    bucket.put("10001", b"other").unwrap();
    with(&bucket, "versions=delete", |store| {
        let [one, two] = keys();
        assert_eq!(store.delete_all(&[&one]), []);
        store.delete(&two).unwrap();
        assert_missing(store);
        put_all(store);
        assert_eq!(store.delete_all(&[&one, &two]), []);
        assert_missing(store);
        assert_eq!(store.hidden(), 0);
    });
    let left = aws(&bucket, "list-object-versions", &[]);
    assert!(
        left.matches("\"VersionId\"").count() == 1 && left.contains("10001"),
        "{left}"
    );
    // A bucket without versions has one of each object.
    let plain = lab().s3().unwrap().bucket("plain").unwrap();
    with(&plain, "versions=delete", |store| {
        put_all(store);
        let keys = keys();
        assert_eq!(store.delete_all(&keys.each_ref().map(String::as_str)), []);
        assert_missing(store);
    });
}

#[test]
fn a_locked_object_stays_and_the_lock_is_named() {
    let server = lab().s3().unwrap();
    let bucket = server.bucket("locked").unwrap();
    // Such a bucket can only be made as one.
    bucket
        .aws(["s3api", "delete-bucket", "--bucket", bucket.name()])
        .unwrap();
    aws(
        &bucket,
        "create-bucket",
        &["--object-lock-enabled-for-bucket"],
    );
    let rule = r#"{"ObjectLockEnabled":"Enabled","Rule":{"DefaultRetention":{"Mode":"COMPLIANCE","Days":1}}}"#;
    aws(
        &bucket,
        "put-object-lock-configuration",
        &["--object-lock-configuration", rule],
    );
    with(&bucket, "versions=delete", |store| {
        put_all(store);
        let keys = keys();
        let failed = store.delete_all(&keys.each_ref().map(String::as_str));
        assert_eq!(failed.len(), 2, "{failed:?}");
        for (_, error) in &failed {
            println!("{error}");
            assert!(matches!(error, StoreError::Other(_)), "{error:?}");
            let text = error.to_string();
            assert!(
                text.contains("locked until 20") && text.contains("COMPLIANCE"),
                "{text}"
            );
        }
        // They are still there, and can be read.
        assert!(keys.iter().all(|key| store.head(key).is_ok()));
    });
    with(&bucket, "", |store| {
        let keys = keys();
        assert_eq!(store.delete_all(&keys.each_ref().map(String::as_str)), []);
        assert_eq!(store.hidden(), 2);
        assert_missing(store);
    });
}
