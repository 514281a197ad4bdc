// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Compiler flags for the headers of the *installed* GlusterFS. Every build script of the workspace uses them, for
//! bindgen and cc alike, so that Rust, our C code and the host agree on every layout.
//!
//! GlusterFS installs its headers without the config.h that it was built with. The macros below replace it; a missing
//! one can change a layout silently (without `HAVE_ATOMIC_BUILTINS`, an `xlator_t` is three times as large), so the
//! translator checks the layout again in its `init`.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Macros from the host's config.h and compiler command line on which its public headers depend, with Debian's values
/// for 64-bit Linux.
///
/// `DEBUG` must never be here: it changes the layout of memory pools.
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

/// Environment variable with further flags (`-I...`, `-D...`, separated by white space). `configure` sets it if the
/// headers are not on the compiler's search path.
pub const FLAGS_VARIABLE: &str = "CLOUDSYNC_GF_CPPFLAGS";

/// The preprocessor flags for the host's headers.
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

/// Environment variable that makes missing GlusterFS headers an error. CI sets it to 1. In a release build they are
/// always required.
pub const REQUIRE_VARIABLE: &str = "CLOUDSYNC_REQUIRE_GLUSTERFS";

/// The major versions of GlusterFS that this is built for and tested with.
pub const MAJORS: [u32; 2] = [10, 11];

/// Environment variable that lets a build go on with the headers of another version. It is not tested there.
pub const UNTESTED_VARIABLE: &str = "CLOUDSYNC_UNTESTED_GLUSTERFS";

/// Whether GlusterFS's headers are available. If not, `what` is left out of a debug build and cargo shows a warning, so
/// that the rest can be built without GlusterFS.
///
/// # Panics
/// If they are missing and required, or are those of a version that is not in [`MAJORS`].
#[must_use]
pub fn is_installed(what: &str) -> bool {
    println!("cargo::rerun-if-env-changed={REQUIRE_VARIABLE}");
    println!("cargo::rerun-if-env-changed={UNTESTED_VARIABLE}");
    if let Some(major) = major() {
        let listed = MAJORS.contains(&major);
        assert!(
            listed || env::var(UNTESTED_VARIABLE).is_ok_and(|value| value == "1"),
            "GlusterFS's headers are of the unknown version {major}: cloudsync is tested with {MAJORS:?} \
             ({UNTESTED_VARIABLE}=1 builds it anyway)"
        );
        return true;
    }
    let why = "GlusterFS's headers cannot be read (Debian: libglusterfs-dev liburcu-dev libssl-dev uuid-dev; elsewhere \
               set CLOUDSYNC_GF_CPPFLAGS)";
    let required = env::var(REQUIRE_VARIABLE).is_ok_and(|value| value == "1");
    assert!(
        !required && env::var("PROFILE").as_deref() != Ok("release"),
        "{why}"
    );
    // They may be installed later.
    println!("cargo::rerun-if-changed=/usr/include/glusterfs");
    println!("cargo::warning={what} is left out: {why}");
    false
}

/// Sets the variable CLOUDSYNC_HOST_MAJOR for the crate's `env!`: the major version of the headers, or `none`.
pub fn publish_major() {
    let major = major().map_or_else(|| String::from("none"), |major| major.to_string());
    println!("cargo::rustc-env=CLOUDSYNC_HOST_MAJOR={major}");
}

/// The headers' major version, by GD_OP_VERSION_MAX; `None` if they cannot be read. On the development branch that is no
/// macro, and the next version is assumed, as in cloudsync-common.h.
fn major() -> Option<u32> {
    let folder = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let probe = Path::new(&folder).join("probe.c");
    let source = "#include <glusterfs/xlator.h>\n#include <glusterfs/globals.h>\n\
        #ifdef GD_OP_VERSION_MAX\ncloudsync_probe GD_OP_VERSION_MAX\n#else\ncloudsync_probe 120000\n#endif\n";
    fs::write(&probe, source).expect("OUT_DIR is writable");
    let mut build = cc::Build::new();
    for flag in flags() {
        build.flag(flag);
    }
    let text = build.warnings(false).file(&probe).try_expand().ok()?;
    let text = String::from_utf8_lossy(&text);
    let (_, version) = text.rsplit_once("cloudsync_probe")?;
    // The preprocessor may put line markers in between.
    let mut words = version
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace);
    let version: u32 = words.next()?.parse().ok()?;
    Some(version / 10_000)
}

/// Warning flags for our C code. With `CLOUDSYNC_WERROR=1` in the environment, as in CI, all warnings are errors.
#[must_use]
pub fn warnings() -> Vec<&'static str> {
    println!("cargo::rerun-if-env-changed=CLOUDSYNC_WERROR");
    let mut list = vec!["-Wall", "-Wextra", "-Wno-unused-parameter"];
    if env::var("CLOUDSYNC_WERROR").is_ok_and(|value| value == "1") {
        list.push("-Werror");
    }
    list
}

/// Sets the linker flags of a shared object that the host loads.
///
/// - `nodelete`: the host unloads translators while our threads may still run their code;
/// - `now` and `defs`: a symbol that the host lacks is an error at link or load time, not during a read.
pub fn link_args(soname: &str) {
    for arg in ["-z,nodelete", "-z,now", "-z,defs"] {
        println!("cargo::rustc-cdylib-link-arg=-Wl,{arg}");
    }
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,{soname}");
    if is_installed(soname) {
        println!("cargo::rustc-link-lib=dylib=glusterfs");
    }
}

/// C functions of crc-fast, a dependency of AWS's SDK and of our plugin SDK, that are exported from every library into
/// which it is linked.
///
/// In a process that loads many shared objects, such exports are dangerous: the first one loaded serves all. A version
/// script of our own would hide them, but GNU ld does not accept a second one beside rustc's. All linkers give a symbol
/// the most restrictive visibility of all objects, so one more object declares these as hidden. tests/symbols.rs
/// detects new ones.
const LEAKED: &[&str] = &[
    "crc_fast_checksum",
    "crc_fast_checksum_combine",
    "crc_fast_checksum_combine_with_params",
    "crc_fast_checksum_file",
    "crc_fast_checksum_file_with_params",
    "crc_fast_checksum_with_params",
    "crc_fast_clear_error",
    "crc_fast_crc32_iscsi",
    "crc_fast_crc32_iso_hdlc",
    "crc_fast_crc64_nvme",
    "crc_fast_digest_combine",
    "crc_fast_digest_finalize",
    "crc_fast_digest_finalize_reset",
    "crc_fast_digest_free",
    "crc_fast_digest_get_amount",
    "crc_fast_digest_get_state",
    "crc_fast_digest_new",
    "crc_fast_digest_new_with_init_state",
    "crc_fast_digest_new_with_params",
    "crc_fast_digest_reset",
    "crc_fast_digest_update",
    "crc_fast_error_message",
    "crc_fast_get_calculator_target",
    "crc_fast_get_custom_params",
    "crc_fast_get_last_error",
    "crc_fast_get_version",
];

/// Keeps the C functions of dependencies out of a cdylib's symbol table. A plugin needs this even if it does not enable
/// crc-fast's C functions itself, because cargo builds a crate once for the whole workspace, with all features that any
/// member enables.
pub fn hide_what_dependencies_export() {
    for object in hide(LEAKED) {
        println!("cargo::rustc-cdylib-link-arg={}", object.display());
    }
}

/// Creates objects that define nothing but declare `names` as hidden. Weak, so that a name that no longer exists is not
/// an error.
fn hide(names: &[&str]) -> Vec<PathBuf> {
    let folder = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let source = Path::new(&folder).join("hide.s");
    // Only names that are used get into the object. This section uses them; the linker excludes it ("e").
    let mut text = String::from(".section .hide,\"e\",@progbits\n");
    for name in names {
        text += &format!(".weak {name}\n.hidden {name}\n.quad {name}\n");
    }
    text += ".section .note.GNU-stack,\"\",@progbits\n";
    fs::write(&source, text).expect("OUT_DIR is writable");
    cc::Build::new().file(source).compile_intermediates()
}
