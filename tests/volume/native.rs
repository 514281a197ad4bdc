// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Compiles the tests' C programs and plugins into a lab.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cloudsync_lab::Lab;

use crate::scene::lab;

/// Compiles a C program of this directory into the lab's scratch directory. Returns its path in the lab.
pub(crate) fn compiled(name: &str, flags: &[&str]) -> PathBuf {
    compiled_in(lab(), name, flags)
}

/// Like [`compiled`], in another lab.
pub(crate) fn compiled_in(lab: &Lab, name: &str, flags: &[&str]) -> PathBuf {
    let program = lab.scratch(name);
    let source = format!("{}/tests/volume/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let mut compiler = Command::new("cc");
    compiler
        .args(["-D_FILE_OFFSET_BITS=64", "-Wall", "-Werror", &source, "-o"])
        .arg(lab.outer(&program))
        .args(flags);
    assert!(compiler.status().unwrap().success(), "{compiler:?}");
    program
}

/// Compiles a plugin, `source` below tests/, and installs it in the lab as the store `name`.
pub(crate) fn install_plugin(name: &str, source: &str, flags: &[&str]) {
    let lab = lab();
    let xlators = lab.run("glusterfs", ["--print-xlatordir"]).unwrap();
    let xlators = PathBuf::from(xlators.check().unwrap().trim());
    let folder = lab.outer(xlators.parent().unwrap().join("cloudsync-plugins"));
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Never visible half-written: other clients may load it.
    let fresh = folder.join(format!("{name}.fresh"));
    let mut compiler = Command::new("cc");
    compiler
        .args(["-w", "-shared", "-fPIC", "-Wl,-z,nodelete"])
        .args(flags)
        .args(gluster_build::flags())
        .arg("-I")
        .arg(here.join("include"))
        .arg("-o")
        .arg(&fresh)
        .arg(here.join("tests").join(source));
    let output = compiler.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::rename(fresh, folder.join(format!("lib{name}.so"))).unwrap();
}
