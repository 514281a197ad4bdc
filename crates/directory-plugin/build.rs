// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Links libdirectory.so as the host wants it, and keeps its table of symbols to those of directory.sym.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    gluster_build::link_args("libdirectory.so");
    gluster_build::hide_what_dependencies_export();
}
