// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests libamazons3.so as the host uses it: its exports, and that it can be loaded.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;
use std::process::Command;

use cloudsync_store::abi::{StoreMethods, StoreMethodsExt};

/// The shared object that was built along with this test; `None` if only the test was built.
fn shared_object() -> Option<PathBuf> {
    let test = env::current_exe().unwrap();
    let folder = test.parent().unwrap();
    let found = [folder, folder.parent().unwrap()]
        .map(|folder| folder.join("libamazons3.so"))
        .into_iter()
        .find(|path| path.exists());
    if found.is_none() {
        eprintln!(
            "SKIPPED: no libamazons3.so near {}: cargo build first",
            test.display()
        );
    }
    found
}

#[test]
fn exports_exactly_the_symbols_in_its_sym_file() {
    let Some(path) = shared_object() else { return };
    let nm = Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8(nm.stdout).unwrap();
    let exported: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(2))
        .collect();
    let listed: BTreeSet<_> = include_str!("../amazons3.sym").lines().collect();
    assert_eq!(exported, listed);
}

#[test]
fn loads_and_exports_its_tables() {
    let Some(path) = shared_object() else { return };
    // SAFETY: loading runs no code except that of libraries to which this test is linked already.
    let library = unsafe { libloading::Library::new(path) }.unwrap();
    // SAFETY: the symbol is the table that the SDK defines with this type.
    let table = unsafe { library.get::<*const StoreMethods>(b"store_ops") }.unwrap();
    // SAFETY: the table is a static of the loaded library.
    let methods = unsafe { &**table };
    assert!(methods.fop_download.is_some() && methods.fop_init.is_some());
    assert!(methods.fop_reconfigure.is_some() && methods.fop_fini.is_some());
    // SAFETY: the symbol is the table that the SDK defines with this type.
    let table = unsafe { library.get::<*const StoreMethodsExt>(b"store_ops_ext") }.unwrap();
    // SAFETY: the table is a static of the loaded library.
    let methods = unsafe { &**table };
    assert_eq!(methods.size, size_of::<StoreMethodsExt>());
    assert!(methods.head.is_some());
}
