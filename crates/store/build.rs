// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Compiles shim.c against the installed GlusterFS.

fn main() {
    gluster_build::publish_major();
    println!("cargo::rerun-if-changed=src/shim.c");
    println!("cargo::rerun-if-changed=src/shim.h");
    println!("cargo::rerun-if-changed=../../include/cloudsync-common.h");
    if !gluster_build::is_installed("the C of the plugins' SDK") {
        println!("cargo::rerun-if-changed=src/shim-absent.c");
        return cc::Build::new()
            .file("src/shim-absent.c")
            .compile("cloudsync_store_shim");
    }
    let mut build = cc::Build::new();
    for flag in gluster_build::flags()
        .iter()
        .map(String::as_str)
        .chain(gluster_build::warnings())
    {
        build.flag(flag);
    }
    build
        .include("../../include")
        .file("src/shim.c")
        .compile("cloudsync_store_shim");
    println!("cargo::rustc-link-lib=dylib=glusterfs");
}
