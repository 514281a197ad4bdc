// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs the conformance suite of all stores against a real S3 server (Ceph's).

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

use std::sync::OnceLock;

use amazons3::S3;
use cloudsync_lab::{Bucket, Lab, User};
use cloudsync_store::Options;
use cloudsync_store_conformance::Subject;

fn lab() -> &'static Lab {
    Lab::shared(cloudsync_lab::Options::default)
}

fn bucket() -> &'static Bucket {
    static BUCKET: OnceLock<Bucket> = OnceLock::new();
    BUCKET.get_or_init(|| lab().s3().unwrap().bucket("suite").unwrap())
}

fn options(user: &User, host: &str, bucket: &str, list: &str) -> Options {
    [
        ("s3plugin-hostname", host),
        // With a prefix: the store must not use objects outside it.
        ("s3plugin-bucketid", bucket),
        ("s3plugin-keyid", &user.key),
        ("s3plugin-seckey", &user.secret),
        ("cloudsync-store-id", list),
    ]
    .into_iter()
    .collect()
}

const PREFIX: &str = "below/a prefix";

fn place_of(key: &str) -> String {
    format!("{PREFIX}/{key}")
}

struct Ceph;

impl Subject for Ceph {
    type Store = S3;

    fn options(&self) -> Options {
        let server = lab().s3().unwrap();
        let place = format!("{}/{PREFIX}", bucket().name());
        // A sink pauses for longer than a connection may stall.
        let list = "stall-timeout=1s,retries=4";
        options(&server.owner(), &server.http_url(), &place, list)
    }

    fn place(&self, key: &str, bytes: &[u8]) {
        bucket().put(&place_of(key), bytes).unwrap();
    }

    fn remove(&self, key: &str) {
        bucket().delete(&place_of(key)).unwrap();
    }

    fn forbidden(&self, _: &str) -> Option<Options> {
        let server = lab().s3().unwrap();
        let place = format!("{}/{PREFIX}", bucket().name());
        let stranger = server.user_without_rights();
        Some(options(&stranger, &server.http_url(), &place, ""))
    }

    fn away(&self) -> Options {
        let owner = lab().s3().unwrap().owner();
        options(&owner, "http://127.0.0.1:1", "bucket", "retries=2")
    }

    fn wrong(&self) -> Vec<(Options, &'static str)> {
        let owner = lab().s3().unwrap().owner();
        let with = |host, bucket, list| options(&owner, host, bucket, list);
        vec![
            (with("http://", "bucket", ""), "s3plugin-hostname"),
            (with("localhost", "", ""), "s3plugin-bucketid"),
            (with("localhost", "bucket", "regoin=x"), "regoin"),
            (with("localhost", "bucket", "retries=many"), "retries"),
            (with("localhost", "bucket", "ca=/nonexistent"), "ca"),
        ]
    }

    fn wrap(self, test: impl FnOnce(&Self) + Send + 'static) {
        lab().in_network(move || test(&self)).unwrap();
    }
}

cloudsync_store_conformance::reads!(Ceph);
cloudsync_store_conformance::archives!(Ceph);
