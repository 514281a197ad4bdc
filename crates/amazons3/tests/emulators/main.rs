// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs the conformance suite against other S3 servers than Ceph's, each of which speaks a dialect of its own. What one
//! cannot do is listed here with the settings that it needs, and docs/OPTIONS.md has the same table.
//!
//! `scripts/emulators.sh DIR` installs the servers, CLOUDSYNC_EMULATORS=DIR names the directory, and the feature
//! `emulators` enables the tests; `emulators-built` those of servers that must be compiled. `scripts/dialects.sh` does
//! all of that.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

mod cold_read;
mod server;
mod servers;
mod table;

use amazons3::S3;
use cloudsync_store::Options;
use cloudsync_store_conformance::{Lack, Subject};
use server::{Dialect, Server};

/// A dialect as the subject of the suite.
struct Spoken(&'static Dialect);

/// Below the bucket `films`, so that objects outside must not be used.
const PREFIX: &str = "below";

impl Spoken {
    fn server(&self) -> &'static Server {
        self.0.server()
    }
}

impl Subject for Spoken {
    type Store = S3;

    fn options(&self) -> Options {
        let more = format!("stall-timeout=1s,retries=4,{}", self.0.settings);
        self.server().options(&format!("films/{PREFIX}"), &more)
    }

    fn place(&self, key: &str, bytes: &[u8]) {
        self.server().put(&format!("{PREFIX}/{key}"), bytes);
    }

    fn remove(&self, key: &str) {
        self.server().delete(&format!("{PREFIX}/{key}"));
    }

    fn forbidden(&self, _: &str) -> Option<Options> {
        None
    }

    fn can_name(&self, key: &str) -> bool {
        (self.0.can_name)(key)
    }

    fn away(&self) -> Options {
        let options = [
            ("s3plugin-hostname", "http://127.0.0.1:1"),
            ("s3plugin-bucketid", "films"),
            ("s3plugin-keyid", server::KEY),
            ("s3plugin-seckey", server::KEY),
            ("cloudsync-store-id", "retries=2"),
        ];
        options.into_iter().collect()
    }

    fn wrong(&self) -> Vec<(Options, &'static str)> {
        vec![(self.server().options("films", "regoin=x"), "regoin")]
    }

    fn lacks(&self) -> Vec<(&'static str, Lack)> {
        let lacks = self.0.lacks.iter();
        lacks.map(|lack| (lack.requirement, lack.when)).collect()
    }
}

mod moto {
    use super::*;

    cloudsync_store_conformance::reads!(Spoken(&servers::MOTO));
    cloudsync_store_conformance::archives!(Spoken(&servers::MOTO));
}

mod s3rver {
    use super::*;

    cloudsync_store_conformance::reads!(Spoken(&servers::S3RVER));
    cloudsync_store_conformance::archives!(Spoken(&servers::S3RVER));
}

#[cfg(feature = "emulators-built")]
mod s3s {
    use super::*;

    cloudsync_store_conformance::reads!(Spoken(&servers::S3S));
    cloudsync_store_conformance::archives!(Spoken(&servers::S3S));
}
