// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Links libazureblob.so as the host wants it, and keeps its table of symbols to those of azureblob.sym.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    gluster_build::link_args("libazureblob.so");
    gluster_build::hide_what_dependencies_export();
}
