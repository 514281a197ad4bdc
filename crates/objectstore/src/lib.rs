// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The stores `azureblob` and `googlecloud`: objects in Azure Blob Storage and in Google Cloud Storage, on the crate
//! `object_store`.
//!
//! - `backend`: the volume's options and the client, where the two differ; `conditional`: a correction to one of the
//!   clients;
//! - `objects`: operations of recalls ([`Store`](cloudsync_store::Store)), for any client;
//! - `put`, `list`, `kept`: operations of the archiver ([`Archive`](cloudsync_store::Archive));
//! - `failure`: maps errors of a client, and decides on retries.
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
