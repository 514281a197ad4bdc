// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Links libamazons3.so as the host wants it, and keeps its table of symbols to those of amazons3.sym.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    gluster_build::link_args("libamazons3.so");
    gluster_build::hide_what_dependencies_export();
}
