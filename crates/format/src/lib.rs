// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the translator, the store plugins and the archiver must agree on, each in one place.
//!
//! - [`xattr`]: the extended attributes of a cold file and the keys of a request;
//! - [`claim`]: what the archiver says it saw, the value of the handshake;
//! - [`object`]: the key of an object and what is written beside its bytes;
//! - [`record`]: what stands on a file about the object that it is, or was;
//! - [`command`]: attributes that are commands to the translator;
//! - [`settings`]: the `key=value,key=value` syntax of the volume options that carry more than one setting.

#![forbid(unsafe_code)]

pub mod checksum;
pub mod claim;
pub mod command;
pub mod object;
pub mod record;
pub mod settings;
pub mod xattr;
