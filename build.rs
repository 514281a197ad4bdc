// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Builds the C shim and the bindings to the installed GlusterFS, and links `cloudsync.so`.
//!
//! One flag list, [`gluster_build::flags`], feeds bindgen and cc alike. bindgen's layout assertions are compiled
//! into the crate, so a header that bindgen and rustc see differently does not build.

use std::env;
use std::path::PathBuf;

/// The C of the translator: the host's macros, one function for each use.
const SHIM: &[&str] = &[
    "src/shim/call.c",
    "src/shim/caller.c",
    "src/shim/fops.c",
    "src/shim/plugin.c",
    "src/shim/store.c",
    "src/shim/xlator.c",
];

/// What Rust calls or names of the host and of the shim.
const FUNCTIONS: &[&str] = &[
    "_gf_msg",
    "call_resume",
    "cs_shim_.*",
    "dict_copy_with_ref",
    "dict_foreach_fnmatch",
    "dict_get",
    "dict_get_ptr_and_len",
    "dict_get_uint64",
    "dict_new",
    "dict_set_dynstr_with_alloc",
    "dict_set_int8",
    "dict_ref",
    "dict_remove_foreach_fn",
    "dict_set_nstrn",
    "dict_unref",
    "fd_anonymous",
    "fd_lookup",
    "fd_ref",
    "fd_unref",
    "gf_log_get_loglevel",
    "inode_ctx_get0",
    "inode_ctx_get1",
    "inode_ctx_set0",
    "inode_ctx_set1",
    "inode_find",
    "inode_parent",
    "inode_ref",
    "inode_unref",
    "loc_wipe",
    "syncop_fgetxattr",
    "syncop_fremovexattr",
    "syncop_fsetattr",
    "syncop_fsetxattr",
    "syncop_fstat",
    "syncop_fsync",
    "syncop_ftruncate",
    "syncop_lookup",
    "syncop_readv",
    "syncop_seek",
    "syncop_stat",
    "syncop_statfs",
];

const TYPES: &[&str] = &[
    "call_frame_t",
    "call_stub_t",
    "cs_.*",
    "dict_t",
    "fd_t",
    "gf_dirent_t",
    "gf_flock",
    "gf_seek_what_t",
    "glusterfs_event_t",
    "_gf_special_pid",
    "_msgid_comp",
    "glusterfs_fop_t",
    "iatt",
    "inode_t",
    "loc_t",
    "store_methods.*",
    "volume_option_t",
    "xlator_api_t",
    "xlator_t",
];

const VARIABLES: &[&str] = &[
    "CS_.*",
    "GF_CLIENT_PID_.*",
    "GF_FOP_.*",
    "GF_LOG_.*",
    "GF_SET_ATTR_.*",
    "cs_.*",
];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(without_glusterfs)");
    publish_exports();
    gluster_build::publish_major();
    if !gluster_build::is_installed("the translator") {
        println!("cargo::rustc-cfg=without_glusterfs");
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let flags = gluster_build::flags();
    build_shim(&flags);
    bind(&flags)
        .write_to_file(out.join("bindings.rs"))
        .expect("OUT_DIR can be written");
    gluster_build::link_args("cloudsync.so");
    gluster_build::hide_what_dependencies_export();
}

fn build_shim(flags: &[String]) {
    println!("cargo::rerun-if-changed=src/shim");
    println!("cargo::rerun-if-changed=include");
    let mut build = cc::Build::new();
    build
        .files(SHIM)
        .include("include")
        .include("src/shim")
        .warnings(false)
        .std("gnu11");
    for flag in flags
        .iter()
        .map(String::as_str)
        .chain(gluster_build::warnings())
    {
        build.flag(flag);
    }
    build.compile("cloudsync_shim");
}

fn bind(flags: &[String]) -> bindgen::Bindings {
    let mut builder = bindgen::Builder::default()
        .header("src/shim/shim.h")
        .clang_args(flags)
        .clang_args(["-Iinclude", "-Isrc/shim"])
        .default_enum_style(bindgen::EnumVariation::ModuleConsts)
        .layout_tests(true)
        .size_t_is_usize(true)
        .generate_cstr(true)
        .derive_debug(false)
        .prepend_enum_name(false);
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in VARIABLES {
        builder = builder.allowlist_var(name);
    }
    builder.generate().expect(
        "bindgen reads GlusterFS's headers (Debian: libglusterfs-dev, libclang-dev; elsewhere set CLOUDSYNC_GF_CPPFLAGS)",
    )
}

/// `cloudsync.sym` is the one list of exports: the crate checks at compile time that it exports that list
/// (src/entry.rs), a test checks that the linked file exports nothing else.
fn publish_exports() {
    println!("cargo::rerun-if-changed=cloudsync.sym");
    let list = std::fs::read_to_string("cloudsync.sym").expect("cloudsync.sym is readable");
    let names: Vec<&str> = list.split_whitespace().collect();
    println!("cargo::rustc-env=CLOUDSYNC_EXPORTS={}", names.join(" "));
}
