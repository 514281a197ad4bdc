// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Our shared objects export the symbols of their .sym file, and nothing else.

#![cfg(not(without_glusterfs))]
// A test has no better answer to an error than to fail.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use cloudsync_lab::Artifacts;

/// The plugins that `make install` installs.
const PLUGINS: &[&str] = &["amazons3", "azureblob", "directory", "googlecloud"];

fn output(program: &str, args: &[&str], file: &Path) -> String {
    let output = Command::new(program).args(args).arg(file).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {}: {output:?}",
        file.display()
    );
    String::from_utf8(output.stdout).unwrap()
}

fn exports(file: &Path) -> Vec<String> {
    let mut names: Vec<String> = output("nm", &["-D", "--defined-only", "--format=posix"], file)
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    names.sort();
    names
}

fn listed(sym: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(sym);
    let mut names: Vec<String> = std::fs::read_to_string(path)
        .unwrap()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}

#[test]
fn each_shared_object_exports_its_sym_file_and_nothing_else() {
    let built = Artifacts::find(PLUGINS).unwrap();
    assert_eq!(exports(&built.translator), listed("cloudsync.sym"));
    let lists = [
        "crates/amazons3/amazons3.sym",
        "crates/azureblob/azureblob.sym",
        "crates/directory-plugin/directory.sym",
        "crates/googlecloud/googlecloud.sym",
    ];
    for (plugin, list) in built.plugins.iter().zip(lists) {
        assert_eq!(exports(plugin), listed(list), "{}", plugin.display());
    }
}

/// Our threads may still run our code when GlusterFS closes the library.
#[test]
fn no_shared_object_is_ever_unloaded() {
    let built = Artifacts::find(PLUGINS).unwrap();
    for file in built.plugins.iter().chain([&built.translator]) {
        let dynamic = output("readelf", &["-d"], file);
        assert!(dynamic.contains("NODELETE"), "{dynamic}");
    }
}

/// OpenSSL's exit handlers would run while our threads live; rustls has none.
#[test]
fn only_libraries_of_glusterfs_and_libc_are_linked() {
    let built = Artifacts::find(PLUGINS).unwrap();
    for file in built.plugins.iter().chain([&built.translator]) {
        for line in output("readelf", &["-d"], file)
            .lines()
            .filter(|line| line.contains("NEEDED"))
        {
            let known = [
                "libglusterfs.so",
                "libc.so",
                "libgcc_s.so",
                "ld-linux",
                "libm.so",
            ];
            assert!(
                known.iter().any(|name| line.contains(name)),
                "{}: {line}",
                file.display()
            );
        }
    }
}
