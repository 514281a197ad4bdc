// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store `directory`: objects in a folder that every client sees, such as an NFS mount or the front end of
//! a tape library. It needs no server and no account.
//!
//! ```text
//! FOLDER/objects/3f/a2/KEY/data     the bytes
//!                          meta     key, size, checksum, version, and what the archiver keeps beside them
//! FOLDER/staging/ID/                an upload, or what is left of an object that is being removed
//! FOLDER/plain/dir/file             put there by hand: the object `dir/file`
//! ```
//!
//! An object is a folder, and it is there from the instant in which that folder is renamed into its place: bytes and
//! description together. Renaming a folder never replaces one that has something in it, on any file system and on NFS,
//! so an object is never overwritten whoever races, and no lock is needed.
//!
//! - [`settings`]: the volume's options, checked;
//! - `place`: where a key's object is; `meta`: what lies beside the bytes; `failure`: what an errno means;
//! - `found`: an object that is there, opened once, so that all that is read of it is of one version;
//! - `put`: from a source to an object; `walk`: listing, and what uploads left behind;
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
