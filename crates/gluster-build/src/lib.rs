// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! How the headers of the *installed* GlusterFS must be read: one list of flags for bindgen and cc alike,
//! used by every build script of the workspace, so that Rust, our C and the host agree on every layout.
//!
//! GlusterFS installs its headers without the config.h that it was built with. The macros below stand for it;
//! a missing one can change a layout silently (without `HAVE_ATOMIC_BUILTINS` an `xlator_t` is three times as
//! large), which is why the translator checks the layout again in its `init`.

#![forbid(unsafe_code)]

use std::env;

/// Macros of the host's config.h and compiler command line that its public headers depend on.
///
/// They are Debian's for 64-bit Linux. `DEBUG` must never be here: it changes the layout of memory pools.
const HOST_MACROS: &[&str] = &[
    "_FILE_OFFSET_BITS=64",
    "_GNU_SOURCE",
    "GF_LINUX_HOST_OS",
    "HAVE_ATOMIC_BUILTINS=1",
    "SIZEOF_LONG=8",
    "SIZEOF_SIZE_T=8",
    "SIZEOF_INT=4",
    "SIZEOF_SHORT=2",
    "SIZEOF_LONG_LONG=8",
    "HAVE_LLISTXATTR=1",
    "HAVE_STRNLEN=1",
    "HAVE_ARGP=1",
    "HAVE_STATIC_ASSERT=1",
    "HAVE_STRUCT_STAT_ST_ATIM_TV_NSEC=1",
    "HAVE_PTHREAD_SETNAME_NP_TWO_ARGS=1",
];

/// Environment variable with further flags (`-I...`, `-D...`, separated by white space). `configure` sets it
/// when the headers are not where the compiler looks.
pub const FLAGS_VARIABLE: &str = "CLOUDSYNC_GF_CPPFLAGS";

/// The preprocessor flags with which the host's headers must be read, by bindgen and by cc.
#[must_use]
pub fn flags() -> Vec<String> {
    println!("cargo::rerun-if-env-changed={FLAGS_VARIABLE}");
    let extra = env::var(FLAGS_VARIABLE).unwrap_or_default();
    HOST_MACROS
        .iter()
        .map(|name| format!("-D{name}"))
        .chain(extra.split_whitespace().map(str::to_owned))
        .collect()
}

/// Warning flags for our C. All of them are errors where the environment says `CLOUDSYNC_WERROR=1` (CI does).
#[must_use]
pub fn warnings() -> Vec<&'static str> {
    println!("cargo::rerun-if-env-changed=CLOUDSYNC_WERROR");
    let mut list = vec!["-Wall", "-Wextra", "-Wno-unused-parameter"];
    if env::var("CLOUDSYNC_WERROR").is_ok_and(|value| value == "1") {
        list.push("-Werror");
    }
    list
}

/// Tells cargo how a shared object that the host loads must be linked.
///
/// - `nodelete`: the host unloads translators while threads of ours may still run their code;
/// - `now` and `defs`: a symbol that the host lacks is an error at link or load time, never in the middle of a read.
pub fn link_args(soname: &str) {
    for arg in ["-z,nodelete", "-z,now", "-z,defs"] {
        println!("cargo::rustc-cdylib-link-arg=-Wl,{arg}");
    }
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,{soname}");
    println!("cargo::rustc-link-lib=dylib=glusterfs");
}
