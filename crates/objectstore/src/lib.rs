// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The stores `azureblob` and `googlecloud`: objects in Azure's Blob Storage and in Google's Cloud Storage, on the crate
//! `object_store`. They serve recalls; the archiver does not write to them yet.
//!
//! - `backend`: the volume's options, checked, and the client that they make: what differs between the two;
//! - `objects`: the two questions a [`Store`](cloudsync_store::Store) answers, for any client;
//! - `failure`: what an error of a client means, and whether asking again may help.
//!
//! The plugins are crates of their own.

#![forbid(unsafe_code)]

mod backend;
mod failure;
mod objects;

pub use backend::{Azure, Backend, Connection, Google};
pub use objects::Objects;

/// Azure Blob Storage.
pub type AzureBlob = Objects<Azure>;
/// Google Cloud Storage.
pub type GoogleCloud = Objects<Google>;
