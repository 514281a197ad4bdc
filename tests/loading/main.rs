// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the translator says to a GlusterFS whose structures are not those of the headers that it was built with. (No such
//! GlusterFS is at hand: a program of a page, host.c, does what one does.)

#![cfg(not(without_glusterfs))]
// A test has no better answer to an error than to fail.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use cloudsync_lab::Artifacts;

const OTHER: &str = "built for another GlusterFS than the one that loads it";

#[test]
fn a_host_of_another_shape_is_refused_by_name() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (program, log) = (folder.join("host"), folder.join("host.log"));
    let compiled = Command::new("cc")
        .args(["-Wall", "-Werror"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/loading/host.c"))
        .args(gluster_build::flags())
        .args(["-lgfapi", "-lglusterfs", "-ldl", "-o"])
        .arg(&program)
        .status()
        .unwrap();
    assert!(compiled.success());
    let translator = Artifacts::find(&[]).unwrap().translator;
    let starts = |how: &str| {
        fs::write(&log, "").unwrap();
        let mut host = Command::new(&program);
        let said = host.arg(&translator).arg(&log).arg(how).output().unwrap();
        let log = fs::read_to_string(&log).unwrap();
        assert!(said.status.success(), "{how}: {said:?}\n{log}");
        assert_eq!(
            String::from_utf8_lossy(&said.stdout),
            "-1\n",
            "{how}: {log}"
        );
        log
    };
    for how in ["fops", "identifier", "category"] {
        let log = starts(how);
        assert!(log.contains(OTHER), "{how}: {log}");
    }
    // This one it takes, and looks further: nothing is below.
    let log = starts("same");
    assert!(!log.contains(OTHER), "{log}");
    assert!(log.contains("needs exactly one translator below"), "{log}");
}
