// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Names and formats that the translator, the store plugins and the archiver share, each defined once.
//!
//! - [`build`]: the text by which a library tells its version;
//! - [`xattr`]: the extended attributes of a cold file, and the keys of requests;
//! - [`claim`]: the value of the handshake: the file's attributes as the archiver saw them;
//! - [`object`]: the key and the metadata of an object; [`checksum`]: its checksum; [`holes`]: where the file had none of
//!   its bytes; [`encoding`]: whether it is compressed or encrypted;
//! - [`record`]: the attributes of a file that describe its object, or former ones;
//! - [`dosattrib`]: the attribute in which Samba stores DOS attributes;
//! - [`message`]: the numbers of messages in the log; [`history`]: the lines that say what was recalled and archived;
//! - [`jobs`]: what a client recalls now, and who waits for it; [`caller`]: the process of a caller;
//! - [`command`]: virtual attributes that are commands to the translator;
//! - [`option`]: the names of the volume's options;
//! - [`settings`]: the `key=value,key=value` syntax of volume options that carry several settings; [`stores`]: how it
//!   describes further stores.

#![forbid(unsafe_code)]

pub mod build;
pub mod caller;
pub mod catalog;
pub mod checksum;
pub mod claim;
pub mod command;
pub mod dosattrib;
pub mod encoding;
pub mod history;
pub mod holes;
pub mod jobs;
pub mod message;
pub mod object;
pub mod option;
pub mod pin;
pub mod record;
pub mod settings;
pub mod stores;
pub mod xattr;
