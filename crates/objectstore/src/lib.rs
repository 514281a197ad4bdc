// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The stores `azureblob` and `googlecloud`: objects in Azure's Blob Storage and in Google's Cloud Storage, on the crate
//! `object_store`.
//!
//! - `backend`: the volume's options, checked, and the client that they make: what differs between the two;
//!   `conditional`: what one of the clients forgets;
//! - `objects`: what a recall asks ([`Store`](cloudsync_store::Store)), for any client;
//! - `put`, `list`, `kept`: what the archiver asks ([`Archive`](cloudsync_store::Archive));
//! - `failure`: what an error of a client means, and whether asking again may help.
//!
//! The plugins are crates of their own.

#![forbid(unsafe_code)]

mod backend;
mod conditional;
mod failure;
mod kept;
mod list;
mod objects;
mod put;

pub use backend::{Azure, Backend, Connection, Google};
pub use objects::Objects;

/// Azure Blob Storage.
pub type AzureBlob = Objects<Azure>;
/// Google Cloud Storage.
pub type GoogleCloud = Objects<Google>;
