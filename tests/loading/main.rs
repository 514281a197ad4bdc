// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The translator refuses a GlusterFS whose structures differ from those of the headers that it was built with. (No such
//! GlusterFS is at hand; a small program, host.c, imitates one.)

#![cfg(not(without_glusterfs))]
// A test has no better answer to an error than to fail.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cloudsync_lab::Artifacts;

const OTHER: &str = "built for another GlusterFS than the one that loads it";

/// Functions of which one major version of GlusterFS each has one: `CS_HOST_SYMBOL` in cloudsync-common.h.
const SYMBOLS: [&str; 2] = ["gf_d_type_from_st_mode", "inode_set_namespace_inode"];

/// Compiles host.c, and returns the program's path.
fn host(folder: &Path) -> PathBuf {
    let program = folder.join("host");
    let compiled = Command::new("cc")
        .args(["-Wall", "-Werror"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/loading/host.c"))
        .args(gluster_build::flags())
        .args(["-lgfapi", "-lglusterfs", "-ldl", "-o"])
        .arg(&program)
        .status()
        .unwrap();
    assert!(compiled.success());
    program
}

/// A folder of the test `name`.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The function in SYMBOLS that a library refers to, and where its name is.
fn host_symbol(library: &[u8]) -> (usize, &'static str) {
    let found = SYMBOLS.iter().find_map(|symbol| {
        let name = format!("\0{symbol}\0");
        let at = library
            .windows(name.len())
            .position(|part| part == name.as_bytes())?;
        Some((at + 1, *symbol))
    });
    found.unwrap_or_else(|| panic!("the library refers to none of {SYMBOLS:?}"))
}

/// Copies a library, and renames the function that it refers to: no host has it. Returns the new name.
fn rename_symbol(library: &Path, copy: &Path) -> String {
    let mut bytes = fs::read(library).unwrap();
    let (at, symbol) = host_symbol(&bytes);
    bytes[at] = b'X';
    fs::write(copy, bytes).unwrap();
    format!("X{}", &symbol[1..])
}

const PLUGINS: [&str; 4] = ["amazons3", "directory", "azureblob", "googlecloud"];

/// Copies of our libraries as for another major version, each with the function that it needs; and the libraries in the
/// folder CLOUDSYNC_OTHER_BUILD, if it is set: a build on a machine with the other version.
fn of_another_major(folder: &Path) -> Vec<(PathBuf, String)> {
    let built = Artifacts::find(&PLUGINS).unwrap();
    let ours = [&built.translator].into_iter().chain(&built.plugins);
    let mut all: Vec<_> = ours
        .map(|library| {
            let copy = folder.join(library.file_name().unwrap());
            let symbol = rename_symbol(library, &copy);
            (copy, symbol)
        })
        .collect();
    if let Some(other) = std::env::var_os("CLOUDSYNC_OTHER_BUILD") {
        let names = ["cloudsync"].into_iter().chain(PLUGINS);
        let other = names.map(|name| Path::new(&other).join(format!("lib{name}.so")));
        all.extend(other.map(|library| {
            (
                library.clone(),
                host_symbol(&fs::read(&library).unwrap()).1.to_owned(),
            )
        }));
    }
    all
}

#[test]
fn a_build_for_another_major_version_is_refused_by_the_linker() {
    let folder = folder("another-major");
    let (host, log) = (host(&folder), folder.join("log"));
    for (library, symbol) in of_another_major(&folder) {
        let outcome = Command::new(&host)
            .arg(&library)
            .arg(&log)
            .arg("same")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&outcome.stderr);
        assert_eq!(
            outcome.status.code(),
            Some(4),
            "{}: {text}",
            library.display()
        );
        // A build on a newer release of the system may need a newer C library, which is found out first. (Ours need none.)
        let by_symbol = text.contains(&format!("undefined symbol: {symbol}"));
        let by_libc = text.contains("version `GLIBC_") && !library.starts_with(&folder);
        assert!(by_symbol || by_libc, "{}: {text}", library.display());
    }
}

#[test]
fn a_glusterfs_with_other_structures_is_refused() {
    let folder = folder("another-shape");
    let log = folder.join("host.log");
    let program = host(&folder);
    let translator = Artifacts::find(&[]).unwrap().translator;
    let starts = |how: &str| {
        fs::write(&log, "").unwrap();
        let mut host = Command::new(&program);
        let output = host.arg(&translator).arg(&log).arg(how).output().unwrap();
        let log = fs::read_to_string(&log).unwrap();
        assert!(output.status.success(), "{how}: {output:?}\n{log}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "-1\n",
            "{how}: {log}"
        );
        log
    };
    for how in ["fops", "identifier", "category"] {
        let log = starts(how);
        assert!(log.contains(OTHER), "{how}: {log}");
    }
    // This one is accepted; init fails later, because there is no translator below.
    let log = starts("same");
    assert!(!log.contains(OTHER), "{log}");
    assert!(log.contains("needs exactly one translator below"), "{log}");
}
