// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Whether this machine can have a lab at all. One that cannot leaves the tests out that need one, and says so.

use std::env;
use std::io::Write;
use std::path::Path;

use rustix::process::geteuid;

/// Environment variable that makes it an error when the machine cannot have a lab. CI sets it to 1.
const REQUIRE: &str = "CLOUDSYNC_REQUIRE_LAB";

/// What the machine lacks.
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
        () if !geteuid().is_root() => Some("they mount volumes, which only root may"),
        () if !found("glusterd") => Some("glusterd is not installed (scripts/deps.sh run)"),
        () if !found("nsenter") => Some("nsenter is not installed (scripts/deps.sh run)"),
        () => None,
    }
}

/// Ends this program, as one that has passed, if the machine cannot have a lab: the programs that start one are tests.
/// (The demo checks for itself first.)
pub fn leave_out_if_it_cannot() {
    let required = env::var(REQUIRE).is_ok_and(|value| value == "1");
    if let Some(why) = missing().filter(|_| !required) {
        // Not by eprintln!, which the test harness would keep for itself.
        let _ = writeln!(
            std::io::stderr(),
            "\nleft out: the tests of this program that need a GlusterFS of their own: {why}"
        );
        std::process::exit(0);
    }
}
