// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store plugin `amazons3`: objects in Amazon S3, or in anything that speaks its protocol.
//!
//! - [`settings`]: the volume's options, checked;
//! - `client`: AWS's SDK set up by them;
//! - `head`, `fetch`: the two questions a [`Store`](cloudsync_store::Store) answers;
//! - `restore`: objects in a class that cannot be read;
//! - `put`, `list`, `metadata`: what the archiver asks ([`Archive`](cloudsync_store::Archive));
//! - `answer`: is this what we asked for; `failure`: what an error means and whether asking again may help.

mod answer;
mod client;
mod failure;
mod fetch;
mod head;
mod list;
mod metadata;
mod put;
mod restore;
mod s3;
pub mod settings;
mod store;

pub use s3::S3;

cloudsync_store::export_store!(S3);

#[global_allocator]
static ALLOCATOR: cloudsync_store::Pages = cloudsync_store::Pages;
