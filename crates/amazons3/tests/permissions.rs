// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The policy in docs/OPTIONS.md on a real S3 server (Ceph's): it is enough, and an action that is missing is named.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use amazons3::S3;
use cloudsync_lab::{Bucket, Lab};
use cloudsync_store::{Archive, Options, Store, StoreError};
use cloudsync_store_conformance::Bytes;

/// More than one part.
const LARGE: usize = (16 << 20) + 7;

fn lab() -> &'static Lab {
    Lab::shared(cloudsync_lab::Options::default)
}

/// The policy of the document, for a bucket and a user of the lab, without one of its actions.
fn policy(bucket: &str, without: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPTIONS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, after) = text.split_once("```json\n").unwrap();
    let (json, _) = after.split_once("```").unwrap();
    let mut policy: serde_json::Value = serde_json::from_str(json).unwrap();
    let mut found = without.is_empty();
    for statement in policy["Statement"].as_array_mut().unwrap() {
        statement["Principal"] = serde_json::json!({"AWS": ["arn:aws:iam:::user/stranger"]});
        let actions = statement["Action"].as_array_mut().unwrap();
        let before = actions.len();
        actions.retain(|action| action != without);
        found |= actions.len() < before;
    }
    assert!(found, "{without}");
    policy.to_string().replace("BUCKET", bucket)
}

/// Lets the user do what the policy says, and no more.
fn allow(bucket: &Bucket, without: &str) {
    let policy = policy(bucket.name(), without);
    let args = ["s3api", "put-bucket-policy", "--bucket", bucket.name()];
    let set = bucket
        .aws(args.into_iter().chain(["--policy", &policy]))
        .unwrap();
    assert!(set.success(), "{set}");
}

/// The error, which must be about that permission.
fn refusal<T: std::fmt::Debug>(action: &str, result: Result<T, StoreError>) {
    let error = result.unwrap_err();
    assert!(matches!(error, StoreError::PermissionDenied(_)), "{error}");
    assert!(error.to_string().contains(action), "{action}: {error}");
    println!("without {action}: {error}");
}

fn list(store: &S3) -> Result<u32, StoreError> {
    let mut count = 0;
    store.list("", &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

#[test]
fn documented_policy_is_enough_and_what_it_lacks_is_named() {
    let server = lab().s3().unwrap();
    let bucket = server.bucket("policy").unwrap();
    let user = server.user_without_rights();
    let options: Options = [
        ("s3plugin-hostname", server.http_url()),
        ("s3plugin-bucketid", bucket.name().to_owned()),
        ("s3plugin-keyid", user.key),
        ("s3plugin-seckey", user.secret),
        ("cloudsync-store-id", "retries=2".to_owned()),
    ]
    .into_iter()
    .collect();
    let bucket = Arc::new(bucket);
    let within = Arc::clone(&bucket);
    // The aws CLI runs in the lab by itself; this thread must not leave it.
    let in_network = move |work: fn(&S3)| {
        let options = options.clone();
        lab()
            .in_network(move || work(&S3::open(&options).unwrap()))
            .unwrap();
    };
    // Ceph lets a user read what it has put, whatever the policy says.
    bucket.put("the owner's", b"x").unwrap();
    allow(&within, "");
    in_network(|store| {
        let (small, large) = (Bytes::new(vec![1; 1000]), Bytes::new(vec![2; LARGE]));
        store.put("small", &small.upload()).unwrap();
        store.put("large", &large.upload()).unwrap();
        assert_eq!(store.describe("large").unwrap().0.size, LARGE as u64);
        assert_eq!(list(store), Ok(3));
        store.unfinished("", Duration::ZERO, true).unwrap();
        let missing = store.head("missing");
        assert!(
            matches!(missing, Err(StoreError::Missing(_))),
            "{missing:?}"
        );
        store.delete("small").unwrap();
    });
    for (without, work) in [
        (
            "s3:GetObject",
            (|store| refusal("s3:GetObject", store.head("the owner's"))) as fn(&S3),
        ),
        ("s3:PutObject", |store| {
            let bytes = Bytes::new(vec![1; 1000]);
            refusal("s3:PutObject", store.put("other", &bytes.upload()));
            let bytes = Bytes::new(vec![2; LARGE]);
            refusal("s3:PutObject", store.put("other", &bytes.upload()));
        }),
        ("s3:ListBucket", |store| {
            refusal("s3:ListBucket", list(store));
            refusal("s3:ListBucket", store.head("missing"));
        }),
        ("s3:ListBucketMultipartUploads", |store| {
            let action = "s3:ListBucketMultipartUploads";
            refusal(action, store.unfinished("", Duration::ZERO, true));
            let bytes = Bytes::new(vec![3; LARGE]);
            store.put("anew", &bytes.upload()).unwrap();
        }),
        ("s3:ListMultipartUploadParts", |store| {
            let bytes = Bytes::new(vec![3; LARGE]);
            store.put("anew again", &bytes.upload()).unwrap();
        }),
        ("s3:DeleteObject", |store| {
            refusal("s3:DeleteObject", store.delete("large"))
        }),
    ] {
        allow(&bucket, without);
        in_network(work);
    }
}
