// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A store around another: [`Encoded`] compresses objects (Zstandard) and encrypts them (age), if the volume's options say so,
//! and reads both kinds, whatever the options say.
//!
//! The two formats are those of the standard programs: `age -d -i IDENTITY OBJECT | zstd -d` is the file.
//!
//! ```text
//!   put:   file -> settings (compress? a trial) -> encode (zstd, age, in a temporary file) -> read back -> the inner store
//!   fetch: range -> index (which bytes of the object) -> the inner store -> pipe (decrypt, decompress, cut) -> sink
//! ```
//!
//! Those above see plain objects: sizes and checksums are the file's. What is encoded, and how large the object is, is part
//! of its version ([`cloudsync_format::encoding`]). Only listings show sizes as the store bills them.

#![forbid(unsafe_code)]

mod decompress;
mod decrypt;
mod encode;
mod index;
mod keys;
mod pipe;
mod prove;
mod read;
mod settings;
mod sinks;
mod spool;
mod step;
mod store;

pub use store::Encoded;
