// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The servers, and what each of them cannot do.

use std::process::Command;
use std::sync::OnceLock;

use cloudsync_store_conformance::Lack;

#[cfg(feature = "emulators-built")]
use crate::server::KEY;
use crate::server::{Dialect, Lacking};

/// Amazon's services in Python, for tests of programs.
pub(crate) static MOTO: Dialect = Dialect {
    name: "moto",
    version: "5.2.5",
    settings: "",
    lacks: &[],
    can_name: |_| true,
    cannot: "enforce permissions",
    command: |folder, _, port| {
        let mut command = Command::new("python3");
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", port]);
        command.env("PYTHONPATH", folder.join("moto"));
        command
    },
    running: {
        static RUNNING: OnceLock<crate::server::Server> = OnceLock::new();
        &RUNNING
    },
};

/// A server for tests in JavaScript, which keeps objects in files.
pub(crate) static S3RVER: Dialect = Dialect {
    name: "s3rver",
    version: "3.7.1",
    settings: "conditional-writes=off",
    lacks: &[
        Lacking {
            requirement: "any_range_is_those_bytes",
            when: Lack::Always,
        },
        Lacking {
            requirement: "any_key_can_be_put_and_is_listed",
            when: Lack::Always,
        },
        Lacking {
            requirement: "of_many_that_put_the_same_key_one_wins",
            when: Lack::Sometimes,
        },
        Lacking {
            requirement: "bytes_of_two_versions_are_never_mixed",
            when: Lack::Sometimes,
        },
    ],
    can_name: short_names,
    cannot: "put an object only if the key has none: of several archivers with one key, the last wins; send the first \
        byte of an object alone (an error); list capitals once; replace an object that is being read; name more than \
        about 200 characters between slashes (it ends)",
    command: |folder, data, port| {
        let mut command = Command::new("node");
        command.arg(folder.join("node_modules/s3rver/bin/s3rver.js"));
        command
            .args(["-a", "127.0.0.1", "-p", port, "-d"])
            .arg(data);
        command
    },
    running: {
        static RUNNING: OnceLock<crate::server::Server> = OnceLock::new();
        &RUNNING
    },
};

/// A server in Rust, which keeps objects in files.
#[cfg(feature = "emulators-built")]
pub(crate) static S3S: Dialect = Dialect {
    name: "s3s-fs",
    version: "0.14.1",
    settings: "",
    lacks: &[
        Lacking {
            requirement: "a_missing_object_is_missing",
            when: Lack::Always,
        },
        Lacking {
            requirement: "any_key_can_be_put_and_is_listed",
            when: Lack::Always,
        },
        Lacking {
            requirement: "what_is_removed_is_gone",
            when: Lack::Always,
        },
        Lacking {
            requirement: "of_many_that_put_the_same_key_one_wins",
            when: Lack::Sometimes,
        },
    ],
    can_name: |key| key.len() < 200,
    cannot: "keep a key and another one below it, as in `a` and `a/b` (HTTP 500); decide between several archivers with \
        one key; name more than about 200 characters; list unfinished uploads, so that `gc` finds none",
    command: |folder, data, port| {
        let mut command = Command::new(folder.join("s3s/bin/s3s-fs"));
        command.args(["--host", "127.0.0.1", "--port", port]);
        command
            .args(["--access-key", KEY, "--secret-key", KEY])
            .arg(data);
        command
    },
    running: {
        static RUNNING: OnceLock<crate::server::Server> = OnceLock::new();
        &RUNNING
    },
};

/// Names become names of files.
fn short_names(key: &str) -> bool {
    key.split('/').all(|name| name.len() < 200)
}
