// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Links libamazons3.so as the host wants it, and keeps its table of symbols to those of amazons3.sym.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// C functions that crc-fast, deep inside AWS's SDK, marks for export from whatever it is linked into.
///
/// In a process that loads many shared objects such names are a danger: the first one loaded serves all. A version
/// script of our own would hide them, but GNU ld takes no second one beside rustc's. What every linker obeys is the
/// most hidden of the visibilities that the objects give a symbol, so one object more names them all as hidden.
/// tests/symbols.rs notices when a new one appears.
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

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    gluster_build::link_args("libamazons3.so");
    for object in hide(LEAKED) {
        println!("cargo::rustc-cdylib-link-arg={}", object.display());
    }
}

/// Objects that define nothing and make `names` hidden wherever they are defined. Weak, so that a name that is gone
/// one day is no error.
fn hide(names: &[&str]) -> Vec<PathBuf> {
    let folder = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let source = Path::new(&folder).join("hide.s");
    // Only a name that is used gets into the object; this section uses them and is left out by the linker ("e").
    let mut text = String::from(".section .hide,\"e\",@progbits\n");
    for name in names {
        text += &format!(".weak {name}\n.hidden {name}\n.quad {name}\n");
    }
    text += ".section .note.GNU-stack,\"\",@progbits\n";
    fs::write(&source, text).expect("OUT_DIR is writable");
    cc::Build::new().file(source).compile_intermediates()
}
