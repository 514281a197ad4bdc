// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Whether this machine can run a lab. If not, the tests that need one are skipped with a message.

use std::env;
use std::io::Write;
use std::path::Path;

use rustix::process::geteuid;

/// Environment variable that makes it an error if the machine cannot run a lab, or a test in it. CI sets it to 1.
const REQUIRE: &str = "CLOUDSYNC_REQUIRE_LAB";

/// The first requirement that the machine does not meet.
fn missing() -> Option<&'static str> {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
    let found = |program: &str| {
        let mut folders = env::split_paths(&path);
        folders.any(|folder| folder.join(program).exists())
            || more
                .iter()
                .any(|folder| Path::new(folder).join(program).exists())
    };
    match () {
        () if !geteuid().is_root() => Some("mounting volumes requires root"),
        () if !found("glusterd") => Some("glusterd is not installed (scripts/deps.sh run)"),
        () if !found("nsenter") => Some("nsenter is not installed (scripts/deps.sh run)"),
        () => None,
    }
}

/// Whether nothing that a lab needs may be missing.
#[must_use]
pub fn is_required() -> bool {
    env::var(REQUIRE).is_ok_and(|value| value == "1")
}

/// Exits successfully if the machine cannot run a lab: the programs that start one are tests. (The demo checks for
/// itself first.)
pub fn skip_if_unsupported() {
    if let Some(why) = missing().filter(|_| !is_required()) {
        // Not with eprintln!, whose output the test harness captures.
        let _ = writeln!(
            std::io::stderr(),
            "\nskipped: the tests of this program that need their own GlusterFS: {why}"
        );
        std::process::exit(0);
    }
}
