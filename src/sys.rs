// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The installed host's types and functions, made by bindgen from src/shim/shim.h, and the shim's own.
//!
//! bindgen writes an assertion for the size of each type and the offset of each field; they are evaluated when
//! this is compiled.

#![allow(
    clippy::all,
    clippy::nursery,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    missing_docs,
    missing_debug_implementations,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    rust_2018_idioms,
    unnecessary_transmutes,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_qualifications
)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
