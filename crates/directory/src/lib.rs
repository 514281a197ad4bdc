// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store `directory`: objects in a folder that every client can access, such as an NFS mount or the front end of a
//! tape library. It needs no server and no account.
//!
//! ```text
//! FOLDER/objects/3f/a2/KEY/data     the bytes
//!                          meta     the description: key, size, checksum, version, and the archiver's metadata
//! FOLDER/staging/ID/                an upload, or the rest of an object that is being removed
//! FOLDER/plain/dir/file             put there manually: the object `dir/file`
//! ```
//!
//! An object is a folder, which exists from the instant at which it is renamed into its place, with bytes and
//! description together. Renaming a folder never replaces one that is not empty, on any file system and on NFS. So an
//! object is never overwritten, even by concurrent uploads, and no lock is needed.
//!
//! - [`settings`]: the volume's options;
//! - `place`: maps keys to paths; `meta`: the description; `failure`: maps errnos;
//! - `found`: an existing object, opened once, so that everything read is of one version;
//! - `put`: writes and removes objects; `walk`: lists objects and abandoned uploads;
//! - `store`: the two traits.
//!
//! The plugin libdirectory.so is a crate of its own.

#![forbid(unsafe_code)]

mod failure;
mod found;
mod meta;
mod place;
mod put;
pub mod settings;
mod store;
mod walk;

pub use store::Directory;
